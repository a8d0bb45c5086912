import torch


def test_one_set_is_the_single_embedding_model(assert_single_embedding_equals):
    def reference(pieces, fields):
        x0 = x = torch.cat(fields, 1)
        for layer in range(2):
            gate = torch.sigmoid(x @ pieces.get(f"interaction.cross.{layer}.gate")[0])
            x = x0 * pieces.linear(f"interaction.cross.{layer}.linear", x) * gate + x
        return pieces.head("head", pieces.projection("interaction.projection", x))

    assert_single_embedding_equals("gdcn", reference)


def test_open_gates_of_one_half_are_dcnv2_of_half_the_cross_weights(make_model, ids_BN):
    gated, plain = make_model("gdcn").eval(), make_model("dcnv2").eval()
    state = {}
    for name, value in gated.state_dict().items():
        if name.endswith(".gate"):
            value.zero_()
        else:
            half = 0.5 if ".linear." in name else 1.0
            state[name.replace(".linear.", ".")] = half * value if half < 1 else value
    plain.load_state_dict(state)
    torch.testing.assert_close(gated(ids_BN), plain(ids_BN), rtol=1e-4, atol=1e-5)


def test_cross_blocks_map_field_i_to_its_part_in_field_j(make_model, ids_BN):
    model = make_model("gdcn")
    emb_MBNK = model.tables(ids_BN)
    blocks_MNNKK = model.interaction.cross_blocks()
    layer = model.interaction.cross[0].linear
    sum_MBNK = torch.einsum("mijab,mnib->mnja", blocks_MNNKK, emb_MBNK)
    expected_MBI = layer(emb_MBNK.flatten(2)) - layer.bias
    torch.testing.assert_close(sum_MBNK.flatten(2), expected_MBI, rtol=1e-4, atol=1e-4)


def test_dense_parameters_are_dcnv2s_and_a_gate_per_layer_and_set(dense_params):
    for num_sets in (1, 10):
        gates = dense_params("gdcn", num_sets) - dense_params("dcnv2", num_sets)
        assert gates == 4 * num_sets * (39 * 100 // num_sets) ** 2
