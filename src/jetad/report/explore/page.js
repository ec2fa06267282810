"use strict";
(async () => {
  const $ = (id) => document.getElementById(id);
  const meta = JSON.parse($("meta").textContent);
  const n = meta.n;

  // --- data -------------------------------------------------------------------------------------

  const TYPES = { f4: Float32Array, f8: Float64Array, u4: Uint32Array, i2: Int16Array, u2: Uint16Array, u1: Uint8Array };
  const packed = Uint8Array.from(atob($("data").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  const array = (name) => {
    const [type, start, length] = meta.arrays[name];
    return new TYPES[type](buffer, start, length);
  };
  const columns = new Map(meta.columns.map((name, i) => [name, array(`column ${i}`)]));
  const [kind, file, entry, offsets] = ["kind", "file", "entry", "offsets"].map(array);
  const directions = array("directions");
  const [low, high] = meta.decades;
  const pt = Float32Array.from(array("pt"), (v) => 10 ** (low + (v / 65535) * (high - low)));
  const pictures = meta.pictures.map((_, i) => array(`picture ${i}`));
  const score = columns.get("score");
  const color = (c) => meta.colors[c % meta.colors.length];
  const SYMBOLS = ["circle", "diamond", "square", "triangle-up", "x", "cross", "star"];
  // plotly takes a few tags of HTML in its texts: names are no HTML
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (value) => (Number.isFinite(value) ? Number(value.toPrecision(4)).toString() : "–");

  // --- state ------------------------------------------------------------------------------------

  const state = { selected: null, shown: meta.classes.map(() => true), current: -1 };
  const isIn = (i) => state.shown[kind[i]] && (state.selected === null || state.selected[i] === 1);
  const rowsOf = (c, test = () => true) => {
    const rows = [];
    for (let i = 0; i < n; i++) if (kind[i] === c && test(i)) rows.push(i);
    return rows;
  };
  const byClass = meta.classes.map((_, c) => rowsOf(c));

  // --- controls ---------------------------------------------------------------------------------

  const option = (select, text, value) => {
    const item = document.createElement("option");
    item.textContent = text;
    item.value = value;
    select.append(item);
  };
  meta.columns.forEach((name, i) => { option($("x"), name, i); option($("y"), name, i); });
  meta.classes.forEach((name, c) => option($("background"), name, c));
  $("x").value = Math.max(meta.columns.indexOf("jet_mass"), 0);
  $("y").value = 0;
  const variable = (axis) => meta.columns[Number($(axis).value)];
  meta.classes.forEach((name, c) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => { state.shown[c] = box.checked; drawAll(); });
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = color(c);
    label.append(box, swatch, `${name} (${byClass[c].length})`);
    $("classes").append(label);
  });

  // --- plots ------------------------------------------------------------------------------------

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = (title, more = {}) => ({
    title: { text: plain(title) }, gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--quiet"),
    automargin: true, ...more,
  });
  const layout = (x, y, more = {}) => ({
    paper_bgcolor: css("--paper"), plot_bgcolor: css("--paper"), font: { color: css("--ink"), size: 13 },
    margin: { l: 50, r: 12, t: 10, b: 44 }, xaxis: x, yaxis: y, showlegend: false, ...more,
  });
  const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["toImage", "autoScale2d"] };
  const STILL = { ...CONFIG, displayModeBar: false };
  const take = (values, rows) => rows.map((i) => values[i]);

  function drawScatter() {
    const [x, y] = [columns.get(variable("x")), columns.get(variable("y"))];
    const traces = meta.classes.map((name, c) => ({
      type: "scatter", mode: "markers", name: plain(name), visible: state.shown[c],
      x: take(x, byClass[c]), y: take(y, byClass[c]), customdata: byClass[c],
      marker: { size: 5, color: color(c), symbol: SYMBOLS[c % SYMBOLS.length], opacity: 0.6 },
      unselected: { marker: { opacity: 0.08 } },
      selectedpoints: state.selected === null ? null : byClass[c].flatMap((i, k) => (state.selected[i] ? [k] : [])),
      hovertemplate: `%{x:.4g}, %{y:.4g}<extra>${plain(name)}</extra>`,
    }));
    const now = state.current < 0 ? [] : [state.current];
    traces.push({
      type: "scatter", mode: "markers", x: take(x, now), y: take(y, now), hoverinfo: "skip",
      marker: { size: 16, symbol: "circle-open", color: css("--ink"), line: { width: 3 } },
      selectedpoints: null, unselected: { marker: { opacity: 1 } },
    });
    const type = (id) => ($(id).checked ? "log" : "linear");
    Plotly.react("scatter", traces, layout(
      axis(variable("x"), { type: type("logx") }), axis(variable("y"), { type: type("logy") }),
      { dragmode: "select", uirevision: "x", hovermode: "closest" },
    ), CONFIG);
  }

  function drawHistogram() {
    const name = variable("y");
    const values = columns.get(name);
    $("histtitle").textContent = `Histogram of ${name}`;
    let low = Infinity, high = -Infinity;
    for (const v of values) if (Number.isFinite(v)) { low = Math.min(low, v); high = Math.max(high, v); }
    const N = 40, width = (high - low) / N || 1;
    const edges = Array.from({ length: N }, (_, k) => low + (k + 0.5) * width);
    const traces = [];
    meta.classes.forEach((label, c) => {
      if (!state.shown[c]) return;
      for (const part of ["all", "selected"]) {
        const counts = new Array(N).fill(0);
        for (const i of byClass[c]) {
          if (Number.isFinite(values[i]) && (part === "all" || isIn(i)))
            counts[Math.min(N - 1, Math.floor((values[i] - low) / width))] += 1;
        }
        traces.push({
          type: "scatter", mode: "lines", x: edges, y: counts.map((k) => k || null), name: `${plain(label)}, ${part}`,
          line: { shape: "hvh", color: color(c), width: part === "all" ? 1 : 2.5, dash: part === "all" ? "dot" : "solid" },
        });
      }
    });
    Plotly.react("hist", traces, layout(axis(name), axis("jets", { type: "log", dtick: 1 })), STILL);
  }

  /** AUC and points of the curve of signal rows against background rows; ties count one half. */
  function roc(background, signal) {
    if (!background.length || !signal.length) return null;
    const order = [...background.map((i) => [score[i], 0]), ...signal.map((i) => [score[i], 1])].sort((a, b) => b[0] - a[0]);
    let [tagged, false_, area] = [0, 0, 0];
    const x = [], y = [];
    for (let k = 0; k < order.length;) {
      const value = order[k][0];
      const before = [tagged, false_];
      for (; k < order.length && order[k][0] === value; k++) { if (order[k][1]) tagged++; else false_++; }
      area += (false_ - before[1]) * (tagged + before[0]) / 2;
      if (false_) { x.push(tagged / signal.length); y.push(background.length / false_); }
    }
    return { auc: area / signal.length / background.length, x, y };
  }

  function drawRoc() {
    const b = Number($("background").value);
    const traces = [], lines = [];
    meta.classes.forEach((name, c) => {
      if (c === b || !state.shown[c]) return;
      const curves = [["all", () => true], ["selected", isIn]].map(
        ([part, test]) => [part, roc(byClass[b].filter(test), byClass[c].filter(test))]);
      for (const [part, curve] of curves) {
        if (curve === null) continue;
        traces.push({
          type: "scatter", mode: "lines", x: curve.x, y: curve.y, name: `${plain(name)}, ${part}`,
          line: { color: color(c), width: part === "all" ? 1 : 2.5, dash: part === "all" ? "dot" : "solid" },
        });
      }
      const [all, selected] = curves.map(([, curve]) => (curve ? curve.auc.toFixed(3) : "–"));
      lines.push(`${name}: AUC ${selected} of the selected jets, ${all} of all`);
    });
    $("auc").textContent = lines.join("; ") || "A ROC curve needs a second class of jets.";
    Plotly.react("roc", traces, layout(axis("ε_S", { range: [0, 1] }), axis("1/ε_B", { type: "log", dtick: 1 })), STILL);
  }

  function drawCount() {
    let k = 0;
    for (let i = 0; i < n; i++) if (isIn(i)) k++;
    $("count").textContent = `${k} of ${n} jets are selected.`;
  }

  function drawAll() { drawScatter(); drawRest(); }
  function drawRest() { drawHistogram(); drawRoc(); drawCount(); }

  // --- one jet ----------------------------------------------------------------------------------

  function fill(table, header, rows) {
    const make = (parent, tag, text) => { const e = document.createElement(tag); e.textContent = text; parent.append(e); return e; };
    table.replaceChildren();
    const head = document.createElement("thead");
    header.forEach((text) => make(head.appendChild(head.firstChild || document.createElement("tr")), "th", text));
    const body = document.createElement("tbody");
    for (const { cells, most } of rows) {
      const row = document.createElement("tr");
      if (most) row.className = "most";
      cells.forEach((text, k) => make(row, k ? "td" : "th", text));
      body.append(row);
    }
    table.append(head, body);
  }

  function share(values, i) {
    const rows = byClass[Number($("background").value)].filter((k) => Number.isFinite(values[k]));
    if (!rows.length || !Number.isFinite(values[i])) return "–";
    return `${(100 * rows.filter((k) => values[k] < values[i]).length / rows.length).toFixed(1)} %`;
  }

  const REACH = 0.95;  // of eta' and phi', half a jet of R = 0.8 and some more
  function drawConstituents(i) {
    const [from, to] = [offsets[i], offsets[i + 1]];
    $("constituents").hidden = pt.length === 0;
    if (pt.length === 0) return;
    const [x0, x1, y0, y1] = meta.extent;
    const frame = { type: "rect", x0, x1, y0, y1, line: { color: css("--quiet"), width: 1, dash: "dot" } };
    const at = (k, axis_) => directions[2 * k + axis_] * meta.reach / 32767;
    const rows = Array.from({ length: to - from }, (_, k) => from + k);
    Plotly.react("constituents", [{
      type: "scatter", mode: "markers", x: rows.map((k) => at(k, 0)), y: rows.map((k) => at(k, 1)),
      customdata: rows.map((k) => pt[k]), hovertemplate: "%{customdata:.4g} GeV<extra></extra>",
      marker: {
        size: rows.map((k) => 3 + 4 * Math.sqrt(pt[k] / 5)).map((s) => Math.min(s, 60)), opacity: 0.65,
        color: rows.map((k) => Math.log10(pt[k])), colorscale: "Viridis", line: { width: 1, color: css("--quiet") },
      },
    }], layout(
      axis("η'", { range: [-REACH, REACH], constrain: "domain" }),
      axis("φ'", { range: [-REACH, REACH], scaleanchor: "x", constrain: "domain" }),
      { shapes: meta.pictures.length ? [frame] : [] },
    ), STILL);
  }

  const VIRIDIS = ["#440154", "#471365", "#482475", "#463480", "#414487", "#3b528b", "#355f8d", "#2f6c8e", "#2a788e",
    "#25848e", "#1e9b8a", "#2fb47c", "#5ec962", "#90d743", "#c8e020", "#fde725"];
  const TWO_WAYS = ["#053061", "#134b86", "#2166ac", "#3783bb", "#5ea4cd", "#92c5de", "#c2ddec", "#e4eef4", "#f7f7f7",
    "#f9e4d9", "#fbccb4", "#f4a582", "#e17860", "#c53e3d", "#9f1a2d", "#67001f"];

  function drawPictures(i) {
    const [nEta, nPhi] = meta.size;
    $("pictures").replaceChildren();
    meta.pictures.forEach(({ title, signed }, p) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [nEta, nPhi];
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", title);
      const context = canvas.getContext("2d");
      for (let a = 0; a < nEta; a++) for (let b = 0; b < nPhi; b++) {
        context.fillStyle = (signed ? TWO_WAYS : VIRIDIS)[pictures[p][(i * nEta + a) * nPhi + b]];
        context.fillRect(a, nPhi - 1 - b, 1, 1);
      }
      const caption = document.createElement("figcaption");
      caption.textContent = title;
      figure.append(canvas, caption);
      $("pictures").append(figure);
    });
  }

  function drawJet(i) {
    state.current = i;
    const name = meta.files[file[i]];
    $("caption").textContent =
      `${name}, entry ${entry[i]} (${meta.classes[kind[i]]}): score ${short(score[i])}, ` +
      `above ${share(score, i)} of the background here`;
    drawConstituents(i);
    drawPictures(i);
    const members = Object.entries(meta.members).map(([member, [energy, surprise]]) => {
      const values = surprise ? columns.get(surprise) : null;
      return { member, energy: columns.get(energy), surprise: values };
    });
    const most = Math.max(...members.map((m) => (m.surprise ? m.surprise[i] : 0)));
    fill($("members"), ["detector of", "energy", "surprise", "share"], members.map((m) => ({
      cells: [m.member, m.energy ? short(m.energy[i]) : "–", m.surprise ? short(m.surprise[i]) : "–",
        m.energy ? share(m.energy, i) : "–"],
      most: members.length > 1 && m.surprise !== null && m.surprise[i] === most,
    })));
    fill($("numbers"), ["", "value", "share"], [...columns].map(([column, values]) => ({
      cells: [column, short(values[i]), share(values, i)], most: meta.features.includes(column),
    })));
    drawScatter();
  }

  // --- what somebody does -----------------------------------------------------------------------

  function select(test) {
    state.selected = test === null ? null : Uint8Array.from({ length: n }, (_, i) => (test(i) ? 1 : 0));
  }
  const RANGES = ["xlow", "xhigh", "ylow", "yhigh"];
  function selectAll() {
    RANGES.forEach((id) => { $(id).value = ""; });
    select(null);
    Plotly.relayout("scatter", { selections: [] });
    drawAll();
  }
  function selectRange() {
    const [xlow, xhigh, ylow, yhigh] = RANGES.map((id) => ($(id).value === "" ? null : Number($(id).value)));
    const [x, y] = [columns.get(variable("x")), columns.get(variable("y"))];
    const inside = (v, low, high) => (low === null || v >= low) && (high === null || v <= high);
    const any = [xlow, xhigh, ylow, yhigh].some((v) => v !== null);
    select(any ? (i) => inside(x[i], xlow, xhigh) && inside(y[i], ylow, yhigh) : null);
    Plotly.relayout("scatter", { selections: [] });
    drawAll();
  }
  /** The selected jets from the highest to the lowest value on the vertical axis. */
  function ordered() {
    const y = columns.get(variable("y"));
    const rows = [];
    for (let i = 0; i < n; i++) if (isIn(i) && Number.isFinite(y[i])) rows.push(i);
    return rows.sort((a, b) => y[b] - y[a] || a - b);
  }
  function step(by) {
    const rows = ordered();
    if (!rows.length) return;
    const at = rows.indexOf(state.current);
    const next = by === 0 || at < 0 ? 0 : Math.min(Math.max(at + by, 0), rows.length - 1);
    drawJet(rows[next]);
  }

  drawAll();
  $("scatter").on("plotly_click", (event) => {
    const i = event.points[0].customdata;
    if (i !== undefined) drawJet(i);
  });
  $("scatter").on("plotly_selected", (event) => {
    if (!event || !event.points || (!event.range && !event.lassoPoints)) return;
    const chosen = new Set(event.points.map((p) => p.customdata));
    RANGES.forEach((id) => { $(id).value = ""; });
    select((i) => chosen.has(i));
    drawRest();
  });
  $("scatter").on("plotly_deselect", selectAll);
  $("scatter").addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: 0, PageDown: 20, PageUp: -20 }[event.key];
    if (move !== undefined) { event.preventDefault(); step(move); } else if (event.key === "Escape") selectAll();
  });
  $("next").addEventListener("click", () => step(1));
  $("previous").addEventListener("click", () => step(-1));
  $("top").addEventListener("click", () => step(0));
  $("clear").addEventListener("click", selectAll);
  RANGES.forEach((id) => $(id).addEventListener("change", selectRange));
  for (const id of ["x", "y"]) $(id).addEventListener("change", selectAll);
  for (const id of ["logx", "logy"]) $(id).addEventListener("change", drawAll);
  $("background").addEventListener("change", () => { drawRoc(); if (state.current >= 0) drawJet(state.current); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    drawAll();
    if (state.current >= 0) drawJet(state.current);
  });
  step(0);
  document.body.dataset.ready = "yes";
})();
