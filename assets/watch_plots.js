// Plots of several runs by uPlot: smoothing, ranges, logarithmic axes, error bars, a readout. Knows nothing of the server.
"use strict";
const WatchPlots = (() => {
  const kMostExact = 8, kColumns = 900;
  const finite = v => v !== null && v !== undefined && isFinite(v);
  const tidy = v => !finite(v) ? "–" : Math.abs(v) >= 1e6 || (v !== 0 && Math.abs(v) < 1e-3) ? v.toExponential(2) : +v.toPrecision(4) + "";
  const short = v => v >= 1e9 ? +(v / 1e9).toPrecision(4) + " G" : v >= 1e6 ? +(v / 1e6).toPrecision(4) + " M" : v >= 1e3 ? +(v / 1e3).toPrecision(4) + " k" : +(+v).toPrecision(4) + "";
  const duration = s => s >= 86400 ? `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h` : s >= 3600 ? `${Math.floor(s / 3600)} h ${String(Math.floor(s % 3600 / 60)).padStart(2, "0")} min` : s >= 60 ? `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s` : +(+s).toPrecision(3) + " s";
  const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const isDark = () => { const c = css("--paper").match(/[0-9a-f]{2}/gi); return c && parseInt(c[0], 16) < 128; };
  // Six colours that colour-blind readers tell apart, then hues in steps of the golden angle.
  const colour = i => i < 6 ? css(`--series-${i + 1}`) : `hsl(${Math.round(i * 137.508) % 360} 65% ${isDark() ? 66 : 40}%)`;

  // The mean of what came before, weighted by powers of w, without the pull of the start (as TensorBoard's).
  const smoothed = (list, w) => {
    if (!(w > 0)) return list;
    let sum = 0, weight = 0;
    return list.map(v => {
      if (!finite(v)) return null;
      sum = w * sum + (1 - w) * v;
      weight = w * weight + (1 - w);
      return sum / weight;
    });
  };
  // One ascending axis for runs with axes of their own: exact for a few, at kColumns places for many.
  const resampled = tables => {
    let low = Infinity, high = -Infinity;
    for (const [x] of tables) if (x.length) { low = Math.min(low, x[0]); high = Math.max(high, x[x.length - 1]); }
    if (!(high >= low)) return [[], ...tables.flatMap(t => t.slice(1).map(() => []))];
    const count = high > low ? kColumns : 1, axis = Array.from({ length: count }, (_, i) => count > 1 ? low + (high - low) * i / (count - 1) : low);
    const columns = tables.flatMap(([x, ...ys]) => ys.map(y => {
      let i = 0;
      return axis.map(at => {
        if (!x.length || at < x[0] || at > x[x.length - 1]) return null;
        while (i + 2 < x.length && x[i + 1] < at) ++i;
        const a = y[i], b = y[Math.min(i + 1, y.length - 1)], w = x[Math.min(i + 1, x.length - 1)] - x[i];
        return finite(a) && finite(b) ? a + (b - a) * (w > 0 ? (at - x[i]) / w : 0) : finite(a) ? a : null;
      });
    }));
    return [axis, ...columns];
  };
  // Points in ascending order of x only: a run that went back repeats a part.
  const ascending = table => {
    const keep = [];
    let last = -Infinity;
    table[0].forEach((x, i) => { if (finite(x) && x > last) { keep.push(i); last = x; } });
    return keep.length === table[0].length ? table : table.map(list => keep.map(i => list[i]));
  };

  // lines: { name, colour (number), x, mean, low, high, error, points }
  const prepare = (lines, settings) => {
    const few = lines.length <= kMostExact, series = [{}], tables = [], bands = [];
    const positive = list => settings.logY ? list.map(v => finite(v) && v > 0 ? v : null) : list;
    lines.forEach((line, number) => {
      const has = few && settings.bands && line.low && !line.points && !(settings.smoothing > 0);
      const raw = few && settings.smoothing > 0 && !line.points;
      const base = line.points ? line.mean : smoothed(line.mean, settings.smoothing);
      let x = line.x;
      const stroke = colour(line.colour), columns = [base];
      series.push({ label: line.name, stroke, width: line.points || lines.length > 20 ? 1.25 : 1.75, spanGaps: true, line: number, points: { show: line.points || line.x.length < 40 && lines.length <= kMostExact, size: line.points ? 6 : 4, fill: stroke } });
      if (has) {
        columns.push(line.high, line.low);
        bands.push({ series: [series.length, series.length + 1], fill: stroke.startsWith("#") ? stroke + "33" : stroke.replace(")", " / 0.2)") });
        for (const label of ["high", "low"]) series.push({ label, stroke: "transparent", width: 0, spanGaps: true, points: { show: false } });
      }
      if (raw) {
        columns.push(line.mean);
        series.push({ label: "raw", stroke, alpha: 0.28, width: 1, spanGaps: true, points: { show: false } });
      }
      let table = ascending([x, ...columns]);
      if (settings.logX) { const first = table[0].findIndex(v => v > 0); table = table.map(list => first < 0 ? [] : list.slice(first)); }
      tables.push([table[0], ...table.slice(1).map(positive)]);
    });
    const data = !tables.length ? [[]] : few ? uPlot.join(tables) : resampled(tables);
    return { data, series, bands };
  };

  // Spreads a single value or an empty plot, and leaves a margin.
  const range = (log, low, high) => {
    if (!finite(low) || !finite(high)) return log ? [1, 10] : [0, 1];
    if (log) return low === high ? [low / 2, high * 2] : [low / 1.05, high * 1.05];
    const pad = (high - low || Math.abs(high) || 1) * 0.04;
    return [low - pad, high + pad];
  };

  class Plot {
    // onZoom(low, high), or () for the whole range.
    constructor(title, isWide, onZoom) {
      this.onZoom = onZoom;
      this.box = document.createElement("figure");
      this.box.className = "live" + (isWide ? " wide" : "");
      const head = Object.assign(document.createElement("h3"), { textContent: title });
      this.place = Object.assign(document.createElement("div"), { className: "place" });
      this.readout = Object.assign(document.createElement("div"), { className: "readout", hidden: true });
      this.place.setAttribute("role", "img");
      this.place.setAttribute("aria-label", title);
      this.box.append(head, this.place, this.readout);
      this.plot = null;
      this.isHere = false;  // the mouse: other plots follow its place
      this.shape = "";
      new ResizeObserver(() => this.resize()).observe(this.place);
    }
    resize() {
      const { clientWidth: width, clientHeight: height } = this.place;
      if (this.plot && width > 0 && (this.plot.width !== width || this.plot.height !== height)) this.plot.setSize({ width, height });
    }
    // settings: { smoothing, logX, logY, bands, xText(value), zoom: [low, high] or null, look: of the page }
    show(lines, settings) {
      this.lines = lines;
      const { data, series, bands } = prepare(lines, settings);
      const shape = JSON.stringify([series.map(s => [s.label, s.stroke, s.width, s.points && s.points.show]), bands.length, settings.logX, settings.logY, settings.axis, settings.look]);
      this.zoom = settings.zoom;
      if (this.plot && shape === this.shape) return this.plot.setData(data, true);
      if (this.plot) this.plot.destroy();
      this.shape = shape;
      this.plot = new uPlot(this.options(series, bands, settings), data, this.place);
    }
    options(series, bands, settings) {
      const axis = { stroke: css("--muted"), grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--grid"), width: 1 }, font: "12px system-ui, sans-serif" };
      const near = (u, s, i, x) => {
        const y = u.data[s], xs = u.data[0];
        if (i === null || finite(y[i])) return i;
        let a = i, b = i;
        while (a >= 0 && !finite(y[a])) --a;
        while (b < y.length && !finite(y[b])) ++b;
        if (a < 0 || b >= y.length) return a >= 0 && s > 0 && Math.abs(xs[a] - x) < 0.02 * (u.scales.x.max - u.scales.x.min) ? a : b < y.length && Math.abs(xs[b] - x) < 0.02 * (u.scales.x.max - u.scales.x.min) ? b : null;
        return x - xs[a] < xs[b] - x ? a : b;
      };
      return {
        width: Math.max(80, this.place.clientWidth), height: Math.max(80, this.place.clientHeight), series, bands,
        legend: { show: false },
        scales: {
          x: { time: false, distr: settings.logX ? 3 : 1, range: (u, low, high) => this.zoom || (finite(low) && finite(high) ? low === high ? [low ? low * 0.9 : -1, low ? low * 1.1 : 1] : [low, high] : [settings.logX ? 1 : 0, 10]) },
          y: { distr: settings.logY ? 3 : 1, range: (u, low, high) => range(settings.logY, ...this.withErrors(u, low, high, settings.logY)) },
        },
        axes: [{ ...axis, values: (u, list) => list.map(v => v === null ? "" : settings.xText(v)) }, { ...axis, size: 72, values: (u, list) => list.map(v => v === null ? "" : tidy(v)) }],
        cursor: { sync: { key: "watch", setSeries: false, scales: ["x", null] }, drag: { x: true, y: false, setScale: false }, dataIdx: near },
        hooks: {
          setSelect: [u => {
            if (u.select.width < 4) return;
            const low = u.posToVal(u.select.left, "x"), high = u.posToVal(u.select.left + u.select.width, "x");
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            this.onZoom(low, high);
          }],
          setCursor: [u => this.tell(u, settings)],
          draw: [u => this.errors(u)],
          ready: [u => {
            u.over.addEventListener("dblclick", () => this.onZoom());
            u.over.addEventListener("mouseenter", () => { this.isHere = true; });
            u.over.addEventListener("mouseleave", () => { this.isHere = false; this.readout.hidden = true; });
          }],
        },
      };
    }
    // The ends of error bars belong to the range too.
    withErrors(u, low, high, log) {
      const { min, max } = u.scales.x;
      for (const line of this.lines) {
        if (!line.error) continue;
        line.x.forEach((x, i) => {
          const e = line.error[i], y = line.mean[i];
          if (!finite(e) || !finite(y) || x < min || x > max) return;
          high = Math.max(high, y + e);
          if (!log || y - e > 0) low = Math.min(low, y - e);
        });
      }
      return [low, high];
    }
    tell(u, settings) {
      const isHere = this.isHere && finite(u.cursor.left) && u.cursor.left >= 0;
      this.readout.hidden = !isHere;
      if (!isHere) return;
      const said = [];
      u.series.forEach((s, i) => {
        const at = u.cursor.idxs[i];
        if (s.line === undefined || at === null || at === undefined || !finite(u.data[i][at])) return;
        said.push({ distance: Math.abs(u.valToPos(u.data[i][at], "y") - u.cursor.top), line: this.lines[s.line], x: u.data[0][at], y: u.data[i][at] });
      });
      said.sort((a, b) => a.distance - b.distance);
      const rows = said.slice(0, 8).map(({ line, x, y }) => {
        const row = document.createElement("div"), mark = Object.assign(document.createElement("span"), { className: "swatch" });
        mark.style.background = colour(line.colour);
        const e = line.error && line.x.indexOf(x) >= 0 ? line.error[line.x.indexOf(x)] : null;
        row.append(mark, `${line.name}: ${tidy(y)}${finite(e) ? " ± " + tidy(e) : ""} at ${settings.xText(x)}`);
        return row;
      });
      this.readout.replaceChildren(...rows, ...(said.length > 8 ? [`and ${said.length - 8} more`] : []));
      this.readout.hidden = !rows.length;
      const left = u.over.offsetLeft + u.cursor.left, isRight = left > this.box.clientWidth / 2;
      this.readout.style.left = isRight ? "" : left + 24 + "px";
      this.readout.style.right = isRight ? this.box.clientWidth - left + 8 + "px" : "";
      this.readout.style.top = "34px";
    }
    errors(u) {
      const c = u.ctx, half = 4 * devicePixelRatio;
      c.save();
      c.lineWidth = 1.25 * devicePixelRatio;
      for (const line of this.lines) {
        if (!line.error) continue;
        c.strokeStyle = colour(line.colour);
        line.x.forEach((x, i) => {
          const e = line.error[i], y = line.mean[i];
          if (!finite(e) || !finite(y) || x < u.scales.x.min || x > u.scales.x.max) return;
          const at = u.valToPos(x, "x", true), low = y - e > 0 || u.scales.y.distr !== 3 ? u.valToPos(y - e, "y", true) : u.bbox.top + u.bbox.height, high = u.valToPos(y + e, "y", true);
          c.beginPath();
          c.moveTo(at, low); c.lineTo(at, high);
          c.moveTo(at - half, low); c.lineTo(at + half, low);
          c.moveTo(at - half, high); c.lineTo(at + half, high);
          c.stroke();
        });
      }
      c.restore();
    }
  }
  return { Plot, colour, tidy, short, duration, finite, smoothed, resampled, ascending };
})();
