"use strict";
(() => {
  let panels = [];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const handheld = matchMedia("(pointer: coarse), (max-width: 600px)");

  const unpacked = async (id) => {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
  };

  const chosen = (name) => {
    const nodes = [...document.querySelectorAll(`[data-control="${name}"]`)];
    const node = nodes.find((each) => each.checked) || nodes[0];
    return node.value;
  };

  const template = () => {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const axis = {
      gridcolor: color("--grid"), linecolor: color("--axis"), zeroline: false, showline: true,
      ticks: "outside", tickcolor: color("--axis"), automargin: true, title: {standoff: 8},
    };
    return {
      layout: {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: {color: color("--ink"), size: 12, family: style.fontFamily}, xaxis: axis, yaxis: axis,
        modebar: {orientation: "v", bgcolor: "rgba(0,0,0,0)", color: color("--axis"), activecolor: color("--ink")},
        hoverlabel: {bgcolor: color("--card"), bordercolor: color("--axis"), font: {color: color("--ink")}, align: "left"},
      },
    };
  };

  const draw = (panel) => {
    const variant = panel.variants[panel.controls.map(chosen).join("|")];
    const layout = {...structuredClone(variant.layout), template: template(), dragmode: handheld.matches ? false : "zoom"};
    const config = {
      responsive: true, displaylogo: false, displayModeBar: handheld.matches ? false : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "pan2d"],
    };
    return Plotly.react(panel.id, structuredClone(variant.data), layout, config);
  };

  const drawAll = () => panels.forEach(draw);

  document.querySelectorAll("[data-control]").forEach((node) => {
    node.addEventListener("change", () => {
      panels.filter((panel) => panel.controls.includes(node.dataset.control)).forEach(draw);
    });
  });

  const at = (values, index) => (Array.isArray(values) || ArrayBuffer.isView(values) ? values[index] ?? "" : "");
  const words = (text) => String(text ?? "").replaceAll("<br>", "; ").replaceAll(/<[^>]*>/g, "");

  const pointRows = (trace) => {
    const error = trace.error_y || {};
    const minus = error.symmetric === false ? error.arrayminus : error.array;
    return Array.from(trace.x).map((x, index) => [
      trace.name, x, at(trace.y, index), "", at(error.array, index), at(minus, index),
      words(Array.isArray(trace.text) ? trace.text[index] : trace.text),
    ]);
  };

  const cellRows = (trace) => Array.from(trace.z).flatMap((line, row) => Array.from(line).map((z, column) => [
    trace.name, at(trace.x, column), at(trace.y, row), z, "", "", words(at(at(trace.text, row), column)),
  ]));

  const csvOf = (panel) => {
    const traces = document.getElementById(panel)._fullData;
    const rows = traces.flatMap((trace) => (trace.type === "heatmap" ? cellRows(trace) : pointRows(trace)));
    const quoted = (cell) => `"${String(cell ?? "").replaceAll('"', '""')}"`;
    const head = ["trace", "x", "y", "z", "error_plus", "error_minus", "text"];
    return [head, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n");
  };

  document.querySelectorAll("button.csv").forEach((button) => {
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([csvOf(button.dataset.panel)], {type: "text/csv"}));
      link.download = `${button.dataset.panel}.csv`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  });

  const sortKey = (row, column, numeric) => {
    const cell = row.cells[column];
    if (!cell || cell.colSpan > 1) return "";
    const shown = cell.textContent;
    return numeric ? shown.replaceAll(",", "").replace("–", "") : shown;
  };

  document.querySelectorAll("table.sortable th button").forEach((button) => {
    button.addEventListener("click", () => {
      const header = button.parentElement;
      const body = header.closest("table").tBodies[0];
      const direction = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      const numeric = header.dataset.kind === "number";
      const compare = (a, b) => {
        const [left, right] = [a, b].map((row) => sortKey(row, header.cellIndex, numeric));
        if (left === "" || right === "") return (left === "") - (right === "");
        return direction * (numeric ? left - right : left.localeCompare(right));
      };
      [...header.parentElement.cells].forEach((cell) => cell.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
      body.append(...[...body.rows].sort(compare));
    });
  });

  dark.addEventListener("change", drawAll);
  unpacked("panels").then((read) => {
    panels = read;
    drawAll();
  });
})();
