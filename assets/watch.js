// The live page: asks the server for runs, curves, scores, configs and logs, and then follows its events.
"use strict";
(() => {
  const { Plot, colour, tidy, short, duration, finite } = WatchPlots;
  const id = name => document.getElementById(name);
  const token = new URLSearchParams(location.search).get("token");
  const address = (path, query = {}) => path + "?" + new URLSearchParams(token ? { ...query, token } : query);
  const ask = async (path, query) => {
    const response = await fetch(address(path, query));
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return response.json();
  };
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const fresh = name => { const old = id(name); return old.replaceChildren(), old; };

  const runs = new Map();  // by id: { ...summary, chosen, number, curve, detail, scores, config, log, heard }
  const state = { axis: "images", smoothing: 0, logX: false, logY: false, bands: true, zoom: null, look: 0, follows: true };
  const known = [["loss", "Loss"], ["lr", "Learning rate"], ["grad_norm", "Gradient norm"], ["images_per_sec", "Images a second"], ["memory_mib", "Memory, MiB"]];
  const quiet = new Set(["step", "elapsed_sec", "images_seen", "count", "distance_std"]);
  const titles = { distance: "Score", held_out_loss: "Held-out loss", held_out_accuracy: "Held-out accuracy", attention_negative_share: "Attention: share of negative weights", attention_negative_mass: "Attention: mass of negative weights", attention_entropy: "Attention: entropy, nats", attention_effective_keys: "Attention: effective number of keys", attention_largest_sink: "Attention: largest sink", attention_mass_first: "Attention: mass on the first token" };
  const chosen = () => [...runs.values()].filter(r => r.chosen);
  const pointsOf = () => Math.max(200, Math.min(1500, Math.floor(24000 / Math.max(1, chosen().length))));

  // --- data
  const loadRun = async run => {
    if (run.loading) { run.stale = true; return; }
    run.loading = true;
    run.stale = false;
    try {
      const query = { run: run.id }, points = pointsOf();
      [run.curve, run.scores, run.config, run.log] = await Promise.all([ask("api/curve", { ...query, points }), ask("api/scores", query), ask("api/config", query), ask("api/log", query)]);
      run.asked = points;
    } catch (error) { run.stale = true; }
    run.loading = false;
    run.loaded = performance.now();
    dirty.all = true;
  };
  const loadPart = async (run, part) => {
    run.loading = true;
    try { Object.assign(run, await part()); } catch (error) { /* the next event asks again */ }
    run.loading = false;
    dirty.all = true;
  };
  const loadDetail = async () => {
    const zoom = state.zoom;
    for (const run of chosen()) {
      run.detail = null;
      if (!zoom || !run.curve || run.curve.width <= 1) continue;
      const from = imagesAt(run, zoom[0]), to = imagesAt(run, zoom[1]);
      if (!finite(from) || !finite(to)) continue;
      try {
        const detail = await ask("api/curve", { run: run.id, points: pointsOf(), from: Math.floor(from), to: Math.ceil(to) });
        if (state.zoom === zoom) run.detail = detail;
      } catch (error) { /* the overview stays */ }
    }
    dirty.all = true;
  };
  const addRun = summary => {
    const before = runs.get(summary.id);
    const run = before || { number: runs.size, chosen: runs.size < 12, curve: null, detail: null, scores: [], config: {}, log: [] };
    Object.assign(run, summary, { heard: performance.now() });
    runs.set(run.id, run);
    return run;
  };
  const loadRuns = async () => {
    const answer = await ask("api/runs");
    for (const summary of answer.runs) {
      const run = addRun(summary);
      if (run.chosen && !run.curve) loadRun(run);
    }
    dirty.all = true;
    return answer.newest;
  };
  const append = (run, points) => {
    const curve = run.curve, count = curve.images.length;
    curve.images.push(...points.images);
    for (const name of new Set([...Object.keys(curve.values), ...Object.keys(points.values)])) {
      const value = curve.values[name] || (curve.values[name] = { mean: Array(count).fill(null), ...(curve.width > 1 ? { low: Array(count).fill(null), high: Array(count).fill(null) } : {}) });
      const more = points.values[name] || Array(points.images.length).fill(null);
      for (const list of [value.mean, value.low, value.high]) if (list) list.push(...more);
    }
    curve.lines += points.images.length;
  };
  const heard = event => {
    const run = addRun(event.summary);
    dirty.rows = dirty.grids = true;
    if (!run.chosen) return;
    if (!run.curve || event.reload || run.loading) {
      // While a long file is read, it is asked for now and then.
      if (run.loading || performance.now() - (run.loaded || -1e9) < 2000) run.stale = true;
      else loadRun(run);
    } else {
      if (event.points) append(run, event.points);
      if (run.curve.images.length > 2 * run.asked + 100) loadRun(run);
      if (event.log_began_again) run.log = [];
      if (event.log) run.log = [...run.log, ...event.log].slice(-300);
      if (event.scores) loadPart(run, async () => ({ scores: await ask("api/scores", { run: run.id }) }));
      if (event.config) loadPart(run, async () => ({ config: await ask("api/config", { run: run.id }) }));
    }
    dirty.plots = true;
    if (event.log) dirty.log = true;
  };
  const follow = newest => {
    const source = new EventSource(address("api/events", { seen: newest }));
    source.onopen = () => { id("link").textContent = "live"; };
    source.onerror = () => {
      id("link").textContent = "not connected; trying again";
      // A browser gives up where the answer is no event stream: a server that was started again.
      if (source.readyState === EventSource.CLOSED) setTimeout(begin, 3000);
    };
    source.addEventListener("run", event => heard(JSON.parse(event.data)));
    source.addEventListener("job", event => { if (tries) tries.show(JSON.parse(event.data)); });
    source.addEventListener("runs", loadRuns);
    source.addEventListener("reload", () => {
      for (const run of runs.values()) run.curve = null;
      loadRuns();
    });
  };
  const begin = async () => {
    try { follow(await loadRuns()); } catch (error) {
      id("link").textContent = "not connected; trying again";
      setTimeout(begin, 3000);
    }
  };

  // --- axes
  const elapsedOf = curve => curve.values.elapsed_sec ? curve.values.elapsed_sec.mean : curve.images.map(() => null);
  const xOf = (run, curve) => state.axis === "images" ? curve.images : state.axis === "time" ? elapsedOf(curve) : curve.images.map(v => run.data_size ? v / run.data_size : null);
  const xOfScore = (run, score) => state.axis === "images" ? score.images_seen : state.axis === "time" ? score.elapsed_sec : run.data_size ? score.images_seen / run.data_size : null;
  const imagesAt = (run, x) => {
    if (state.axis === "images") return Math.max(0, x);
    if (state.axis === "epochs") return run.data_size ? Math.max(0, x * run.data_size) : null;
    const times = elapsedOf(run.curve), at = times.findIndex(t => t >= x);
    return at < 0 ? run.curve.images[run.curve.images.length - 1] : run.curve.images[at];
  };
  const xText = v => state.axis === "time" ? duration(v) : state.axis === "epochs" ? `${+v.toPrecision(4)}` : short(v);

  // --- runs
  const rows = new Map();
  const makeRow = run => {
    const box = make("input", { type: "checkbox", checked: run.chosen });
    box.addEventListener("change", () => choose(run, box.checked));
    const mark = make("span", { className: "swatch" }), name = make("span", { className: "name", textContent: run.name, title: run.folder });
    const cells = { state: make("td"), progress: make("td", { className: "progress-cell" }), loss: make("td"), score: make("td"), speed: make("td"), where: make("td", { className: "where" }) };
    const row = make("tr", {}, make("th", { scope: "row" }, make("label", {}, box, mark, name)), ...Object.values(cells));
    return { row, box, mark, cells };
  };
  const put = (cell, text, small = "") => {
    if (cell.dataset.said === text + "|" + small) return;
    cell.dataset.said = text + "|" + small;
    cell.replaceChildren(text, ...(small ? [make("small", { textContent: small })] : []));
  };
  const progressOf = (run, cell) => {
    const share = run.total_images > 0 ? Math.min(1, run.images_seen / run.total_images) : 0;
    if (!cell.firstChild) cell.append(make("span"), make("div", { className: "meter" }, make("i")));
    cell.firstChild.textContent = `${short(run.images_seen)}${run.total_images ? " of " + short(run.total_images) : ""} ${run.examples}`;
    cell.querySelector("i").style.width = `${100 * share}%`;
  };
  const drawRows = () => {
    const word = id("find").value.toLowerCase(), body = id("run-rows");
    for (const run of runs.values()) {
      if (!rows.has(run.id)) { rows.set(run.id, makeRow(run)); body.append(rows.get(run.id).row); }
      const { row, box, mark, cells } = rows.get(run.id);
      row.hidden = word !== "" && !run.name.toLowerCase().includes(word);
      box.checked = run.chosen;
      mark.style.background = run.chosen ? colour(run.number) : "transparent";
      const silent = run.silent_sec + (performance.now() - run.heard) / 1000;
      const left = run.eta_sec === null ? null : Math.max(0, run.eta_sec - (run.state === "training" ? (performance.now() - run.heard) / 1000 : 0));
      const detail = run.reading ? "reading its log" : run.state === "training" && left !== null ? `ETA ${duration(Math.ceil(left))}, ${new Date(Date.now() + 1000 * left).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}` : run.state === "silent" ? `for ${duration(Math.floor(silent))}${run.held ? "; its process lives" : ""}` : "";
      cells.state.className = "state " + run.state;
      put(cells.state, run.state, detail);
      progressOf(run, cells.progress);
      put(cells.loss, tidy(run.last.loss));
      const score = run.scores.filter(s => finite(s.distance)).pop();
      put(cells.score, score ? `${tidy(score.distance)}${finite(score.distance_std) ? " ± " + tidy(score.distance_std) : ""}` : "–", score ? score.distance_name : "");
      put(cells.speed, run.images_per_sec > 0 ? `${tidy(run.images_per_sec)}/s` : "–", finite(run.last.memory_mib) ? `${Math.round(run.last.memory_mib)} MiB` : "");
      put(cells.where, run.host || "–", [run.device, run.precision].filter(Boolean).join(", "));
    }
    id("empty").hidden = runs.size > 0;
    id("choose").hidden = runs.size < 4;
    const training = [...runs.values()].filter(r => r.state === "training").length;
    id("title").textContent = `${runs.size} ${runs.size === 1 ? "run" : "runs"}${runs.size ? `, ${training} training` : ""}`;
  };
  const choose = (run, is) => {
    run.chosen = is;
    if (is && !run.curve) loadRun(run);
    state.look += 1;
    dirty.all = true;
  };

  // --- curves
  const plots = new Map();
  const zoomTo = (low, high) => {
    state.zoom = low === undefined ? null : [low, high];
    id("unzoom").disabled = !state.zoom;
    loadDetail();
    dirty.plots = true;
  };
  const curveLines = name => chosen().flatMap(run => {
    const curve = state.zoom && run.detail || run.curve, value = curve && curve.values[name];
    return value ? [{ name: run.name, colour: run.number, x: xOf(run, curve), mean: value.mean, low: value.low, high: value.high }] : [];
  });
  const scoreLines = name => chosen().flatMap(run => {
    const scores = run.scores.filter(s => finite(s[name]) && finite(xOfScore(run, s)));
    if (!scores.length) return [];
    const error = name === "distance" && scores.some(s => finite(s.distance_std)) ? scores.map(s => s.distance_std) : null;
    return [{ name: name === "distance" && scores[0].distance_name ? `${run.name}, ${scores[scores.length - 1].distance_name}` : run.name, colour: run.number, x: scores.map(s => xOfScore(run, s)), mean: scores.map(s => s[name]), error, points: true }];
  });
  // NAME/BLOCK of each block: colours tell blocks apart of one run, and runs where there are several.
  const blockLines = name => chosen().flatMap(run => {
    const lines = run.scores.filter(s => finite(xOfScore(run, s))), of = s => Object.keys(s).filter(n => n.startsWith(name + "/"));
    const blocks = [...new Set(lines.flatMap(of))].sort((a, b) => a.length - b.length || (a < b ? -1 : 1)), one = chosen().length === 1;
    return blocks.map((full, i) => {
      const has = lines.filter(s => finite(s[full])), block = full.slice(name.length + 1).replace(/^0+(?=\d)/, "");
      return { name: `${one ? "" : run.name + ", "}block ${block}`, colour: one ? i : run.number, x: has.map(s => xOfScore(run, s)), mean: has.map(s => s[full]) };
    }).filter(l => l.x.length);
  });
  const plotList = () => {
    const names = new Set(), scores = new Set(), blocks = new Set();
    for (const run of chosen()) {
      if (run.curve) for (const name of Object.keys(run.curve.values)) if (!quiet.has(name)) names.add(name);
      for (const score of run.scores) for (const name of Object.keys(score)) if (!quiet.has(name) && finite(score[name])) name.includes("/") ? blocks.add(name.slice(0, name.lastIndexOf("/"))) : scores.add(name);
    }
    const first = known.filter(([name]) => names.has(name)), others = [...names].filter(n => !known.some(k => k[0] === n)).sort();
    return [...first.slice(0, 1).map(([n, t]) => [n, t, curveLines]), ...[...scores].sort((a, b) => (a === "distance" ? -1 : b === "distance" ? 1 : a < b ? -1 : 1)).map(n => [n, titles[n] || n, scoreLines]), ...first.slice(1).map(([n, t]) => [n, t, curveLines]), ...others.map(n => [n, n, curveLines]), ...[...blocks].sort().map(n => [n, titles[n] || n, blockLines])];
  };
  const keyOf = (name, linesOf) => (linesOf === scoreLines ? "score " : linesOf === blockLines ? "block " : "") + name;
  const drawPlots = () => {
    const list = plotList(), host = id("plots"), wanted = new Set();
    for (const [name, title, linesOf] of list) {
      const key = keyOf(name, linesOf);
      wanted.add(key);
      if (!plots.has(key)) {
        const plot = new Plot(title, name === "loss", zoomTo);
        plots.set(key, plot);
      }
      const plot = plots.get(key);
      if (plot.box.parentNode !== host) host.append(plot.box);
      plot.show(linesOf(name), { ...state, xText });
      plot.resize();
    }
    for (const [key, plot] of plots) if (!wanted.has(key)) { plot.box.remove(); plots.delete(key); }
    host.append(...list.map(([name, , linesOf]) => plots.get(keyOf(name, linesOf)).box).filter((box, i) => host.children[i] !== box));
    const without = state.axis === "epochs" ? chosen().filter(r => !r.data_size) : [];
    const wide = chosen().find(r => r.curve && r.curve.width > 1 && !(state.zoom && r.detail));
    id("curve-note").textContent = [without.length ? `No epochs of ${without.map(r => r.name).join(", ")}: the record does not say how many examples its data has.` : "", wide && chosen().length <= 8 ? `A point is the mean of up to ${wide.curve.width} lines of the log; zooming shows single lines.` : "", chosen().length > 8 ? "More than eight runs: lines at the points of a common axis, without ranges." : ""].filter(Boolean).join(" ");
  };

  // --- samples
  let player = 0;
  const gridRuns = () => chosen().filter(r => r.grids.length || r.texts.length).slice(0, 8);
  const moments = () => [...new Set(gridRuns().flatMap(r => [...r.grids, ...r.texts].map(g => g[0])))].sort((a, b) => a - b);
  const showText = async (pre, run, name) => {
    const response = await fetch(address("grid", { run: run.id, name }));
    pre.textContent = response.ok ? await response.text() : "it is gone";
  };
  const drawGrids = () => {
    const shown = gridRuns(), times = moments(), slider = id("moment");
    id("samples").hidden = !times.length;
    if (!times.length) return;
    if (+slider.max !== times.length - 1) slider.max = times.length - 1;
    if (state.follows) slider.value = times.length - 1;
    const now = times[Math.min(+slider.value, times.length - 1)], host = id("grids");
    id("moment-text").textContent = `${short(now)} ${shown[0].examples}`;
    const boxes = shown.map(run => {
      const list = run.grids.length ? run.grids : run.texts, last = list.filter(g => g[0] <= now).pop();
      const key = `${run.id}`, box = [...host.children].find(b => b.dataset.run === key) || make("figure", {}, make("figcaption"));
      box.dataset.run = key;
      const name = last ? last[1] : "";
      if (box.dataset.name !== name) {
        box.dataset.name = name;
        const isImage = name.endsWith(".png");
        let view = box.querySelector(isImage ? "img" : "pre");
        if (!view) {
          box.querySelectorAll("img, pre").forEach(e => e.remove());
          view = isImage ? make("img", { decoding: "sync" }) : make("pre");
          box.prepend(view);
          if (isImage) view.addEventListener("click", () => { id("large").querySelector("img").src = view.src; id("large").showModal(); });
        }
        if (isImage) {
          view.alt = `Samples of ${run.name} after ${last[0]} images`;
          view.src = address("grid", { run: run.id, name });
        } else if (name) showText(view, run, name);
        else view.textContent = "nothing yet";
      }
      box.querySelector("figcaption").replaceChildren(make("span", { className: "swatch", style: `background:${colour(run.number)}` }), make("b", { textContent: run.name }), last ? `, ${short(last[0])} ${run.examples}` : ": nothing yet");
      return box;
    });
    if (boxes.length !== host.children.length || boxes.some((b, i) => host.children[i] !== b)) host.replaceChildren(...boxes);
  };
  const step = by => {
    const slider = id("moment"), last = moments().length - 1;
    slider.value = +slider.value + by > last ? 0 : +slider.value + by;
    state.follows = false;
    drawGrids();
  };
  const play = () => {
    if (player) { clearInterval(player); player = 0; } else player = setInterval(() => step(1), 400);
    id("play").textContent = player ? "Stop" : "Play";
  };

  // --- configs and logs
  const drawConfigs = () => {
    const shown = chosen().filter(r => Object.keys(r.config).length);
    id("configs").hidden = !shown.length;
    if (!shown.length) return;
    const faults = shown.filter(r => r.config.fault), good = shown.filter(r => !r.config.fault);
    const names = [...new Set(good.flatMap(r => Object.keys(r.config)))].sort().filter(n => n !== "out");
    const differ = names.filter(n => new Set(good.map(r => r.config[n])).size > 1);
    const list = good.length > 1 ? differ : names;
    id("config-note").textContent = [good.length > 1 ? differ.length ? "What differs between the chosen runs." : "The chosen runs have the same options." : "All options.", ...faults.map(r => `${r.name}: ${r.config.fault}`)].join(" ");
    const body = make("tbody", {}, ...list.map(n => make("tr", {}, make("th", { scope: "row", textContent: n }), ...good.map(r => make("td", { textContent: r.config[n] === undefined ? "–" : r.config[n] })))));
    fresh("config-table").append(make("thead", {}, make("tr", {}, make("th", { textContent: "option" }), ...good.map(r => make("th", { textContent: r.name })))), body);
  };
  const drawLog = () => {
    const shown = chosen(), select = id("log-run"), pre = id("log");
    id("logs").hidden = !shown.length;
    if (!shown.length) return;
    if ([...select.options].map(o => o.value).join() !== shown.map(r => r.id).join()) {
      const before = select.value;
      select.replaceChildren(...shown.map(r => make("option", { value: r.id, textContent: r.name })));
      if (shown.some(r => r.id === before)) select.value = before;
    }
    const text = runs.get(select.value).log.join("\n"), isAtEnd = pre.scrollTop + pre.clientHeight > pre.scrollHeight - 30;
    if (pre.textContent === text) return;
    pre.textContent = text;
    if (isAtEnd) pre.scrollTop = pre.scrollHeight;
  };

  // --- samples on request
  const tries = typeof WatchTry === "undefined" ? null : WatchTry.start({ runs, address, ask, short });

  // --- drawing, at most twice a second while events come
  const dirty = { all: true };
  const draw = () => {
    if (document.hidden) return;
    for (const run of chosen()) if (run.stale && !run.loading && performance.now() - (run.loaded || -1e9) > 2000) loadRun(run);
    drawRows();
    if (tries) tries.showRuns();
    if (dirty.all || dirty.plots) drawPlots();
    if (dirty.all || dirty.grids) drawGrids();
    if (dirty.all) drawConfigs();
    if (dirty.all || dirty.log) drawLog();
    for (const key of Object.keys(dirty)) delete dirty[key];
  };
  setInterval(draw, 500);
  document.addEventListener("visibilitychange", draw);

  // --- controls
  const change = () => { dirty.all = true; draw(); };
  id("axis").addEventListener("change", event => { state.axis = event.target.value; zoomTo(); change(); });
  const setSmoothing = value => {
    state.smoothing = Math.min(0.99, Math.max(0, value));
    id("smoothing").value = state.smoothing;
    id("smoothing-text").textContent = (+id("smoothing").value).toFixed(2).replace(/\.?0+$/, "") || "0";
    change();
  };
  id("smoothing").addEventListener("input", event => setSmoothing(+event.target.value));
  for (const [name, key] of [["log-y", "logY"], ["log-x", "logX"], ["bands", "bands"]])
    id(name).addEventListener("change", event => { state[key] = event.target.checked; change(); });
  id("unzoom").addEventListener("click", () => { zoomTo(); change(); });
  id("find").addEventListener("input", drawRows);
  const visible = () => [...runs.values()].filter(r => !rows.get(r.id).row.hidden);
  id("all").addEventListener("click", () => visible().forEach(r => choose(r, true)));
  id("none").addEventListener("click", () => runs.forEach(r => choose(r, false)));
  id("moment").addEventListener("input", event => { state.follows = +event.target.value === +event.target.max; drawGrids(); });
  id("play").addEventListener("click", play);
  id("log-run").addEventListener("change", drawLog);
  id("large").addEventListener("click", () => id("large").close());
  const newLook = () => { state.look += 1; change(); };
  id("theme").addEventListener("click", newLook);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", newLook);
  addEventListener("keydown", event => {
    if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox" && event.target.type !== "range") return;
    const key = event.key;
    if (key === "l") id("log-y").click();
    else if (key === "x") { const axis = id("axis"); axis.selectedIndex = (axis.selectedIndex + 1) % axis.options.length; axis.dispatchEvent(new Event("change")); }
    else if (key === "+" || key === "=") setSmoothing(state.smoothing + 0.1);
    else if (key === "-") setSmoothing(state.smoothing - 0.1);
    else if (key === "r") { zoomTo(); change(); }
    else if (key === "p") play();
    else if (/^[1-9]$/.test(key)) { const run = [...runs.values()][+key - 1]; if (run) choose(run, !run.chosen); }
  });
  begin();
})();
