import pytest
import torch
from torch.nn import functional

from recscale.models.tokens import FieldTokens, TokenLinear, TokenMatrix, mix_tokens, round_up


@pytest.mark.parametrize("num_fields", [1, 2, 5, 22, 39])
@pytest.mark.parametrize("tokens", [1, 2, 8, 16, 40])
def test_tokens_read_every_field_in_order_and_nearly_equally(num_fields, tokens):
    fields_TW = FieldTokens(num_fields, tokens).fields_TW
    assert fields_TW.shape == (tokens, -(-num_fields // tokens))
    assert set(fields_TW.flatten().tolist()) == set(range(num_fields))
    assert (fields_TW.diff(dim=1) == 1).all()
    assert (fields_TW.diff(dim=0) >= 0).all()
    if num_fields % tokens == 0:
        assert fields_TW.flatten().tolist() == list(range(num_fields))


def test_a_token_is_its_fields_side_by_side():
    emb_MBNK = torch.randn(2, 6, 5, 3)
    x_MTBI = FieldTokens(5, 3)(emb_MBNK)
    for token, fields in enumerate(([0, 1], [1, 2], [3, 4])):
        assert torch.equal(x_MTBI[:, token], emb_MBNK[:, :, fields].flatten(2))


def test_every_set_and_token_has_a_linear_map_of_its_own():
    linear, matrix, x_MTBI = TokenLinear(2, 3, 4, 5), TokenMatrix(2, 3, 4, 5), torch.randn(2, 3, 6, 4)
    for m in range(2):
        for t in range(3):
            expected_BO = functional.linear(x_MTBI[m, t], linear.weight[m, t].T, linear.bias[m, t, 0])
            torch.testing.assert_close(linear(x_MTBI)[m, t], expected_BO)
            torch.testing.assert_close(matrix(x_MTBI)[m, t], x_MTBI[m, t] @ matrix.weight[m, t])


def test_mixing_twice_gives_the_tokens_back():
    x_MTBD = torch.randn(2, 3, 4, 9)
    assert not torch.equal(mix_tokens(x_MTBD), x_MTBD)
    assert torch.equal(mix_tokens(mix_tokens(x_MTBD)), x_MTBD)


def test_rounding_up_goes_to_the_next_multiple():
    assert [round_up(value, 4) for value in (1, 4, 5, 8)] == [4, 4, 8, 8]
