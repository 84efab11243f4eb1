// Behaviour of the report page: theme, sorting, charts. Without it the page still reads: tables and texts are plain HTML.
"use strict";
(() => {
  const root = document.documentElement;
  const charts = [];

  // --- Theme: the system's choice until the reader makes one.
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  const memory = {  // some browsers refuse storage to files
    get() { try { return localStorage.getItem("orchard-theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("orchard-theme", value); } catch { /* not kept */ } },
  };
  let chosen = memory.get();
  const button = document.getElementById("theme");

  function applyTheme(theme) {
    root.dataset.theme = theme;
    const other = theme === "dark" ? "light" : "dark";
    button.textContent = other === "dark" ? "Dark" : "Light";
    button.setAttribute("aria-label", "Switch to the " + other + " theme");
    for (const chart of charts) chart.repaint();
  }
  const currentTheme = () => chosen || (systemDark.matches ? "dark" : "light");
  button.hidden = false;
  button.addEventListener("click", () => {
    chosen = currentTheme() === "dark" ? "light" : "dark";
    memory.set(chosen);
    applyTheme(chosen);
  });
  systemDark.addEventListener("change", () => applyTheme(currentTheme()));
  addEventListener("beforeprint", () => applyTheme("light"));
  addEventListener("afterprint", () => applyTheme(currentTheme()));

  // --- Sorting: numbers by value, text as people order it; what has no value stays last.
  function sortBy(table, column, ascending) {
    const body = table.tBodies[0];
    const numeric = table.tHead.rows[0].cells[column].classList.contains("n");
    const keyOf = (row) => {
      const cell = row.cells[column];
      if (!cell) return null;
      if (cell.dataset.value !== undefined) return Number(cell.dataset.value.replace(/inf$/, "Infinity"));
      return numeric || cell.textContent === "" ? null : cell.textContent;
    };
    const compare = (a, b) => typeof a === "number" && typeof b === "number"
      ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true });
    const rows = Array.from(body.rows, (row) => ({ row, key: keyOf(row) }));
    rows.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
      return ascending ? compare(a.key, b.key) : compare(b.key, a.key);
    });
    body.append(...rows.map((entry) => entry.row));
  }
  for (const table of document.querySelectorAll("table")) {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortBy(table, column, ascending);
    }));
  }

  // --- Charts
  const kShapes = ["circle", "triangle", "rect", "rectRot", "crossRot", "star"];
  const kDashes = [[], [], [], [7, 4], [7, 4], [2, 3], [2, 3], [9, 3, 2, 3]];
  const kColours = kDashes.length;
  // With another shape where a colour comes again, so that many series stay apart.
  const shapeOf = (i) => kShapes[(i + 5 * Math.floor(i / kColours)) % kShapes.length];
  const color = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const seriesColor = (i) => color("series-" + (i % kColours + 1));

  function shortNumber(value) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size < 1e-4 || size >= 1e15) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
    for (const [limit, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
      if (size >= limit) return Number((value / (unit === "k" ? 1e3 : limit)).toPrecision(4)) + "\u2009" + unit;
    }
    return String(Number(value.toPrecision(5)));
  }
  function powerOfTen(value, plain) {
    const exponent = Math.round(Math.log10(value));
    if (plain) return String(Number(value.toPrecision(3)));
    return "10" + String(exponent).replace("-", "\u207b").replace(/\d/g, (d) => "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[d]);
  }
  // Powers of ten where the axis spans enough of them, else also their double and quintuple.
  function logTick(value) {
    const decades = Math.log10(this.max / this.min);
    const mantissa = Number((value / 10 ** Math.floor(Math.log10(value) + 1e-9)).toPrecision(3));
    if (mantissa === 1) return powerOfTen(value, this.min >= 1e-3 && this.max <= 1e4);
    return decades < 2 && (mantissa === 2 || mantissa === 5) ? shortNumber(value) : null;
  }

  // Whiskers for bars and points that have an interval.
  const whiskers = {
    id: "whiskers",
    afterDatasetsDraw(chart) {
      const { ctx, scales } = chart;
      chart.data.datasets.forEach((set, i) => {
        if (!set.interval || !chart.isDatasetVisible(i)) return;
        ctx.save();
        ctx.strokeStyle = set.whiskerColor;
        ctx.lineWidth = 1.5;
        chart.getDatasetMeta(i).data.forEach((mark, k) => {
          const [low, high] = set.interval[k];
          if (low === null || high === null) return;
          const top = scales.y.getPixelForValue(high), bottom = scales.y.getPixelForValue(low);
          ctx.beginPath();
          ctx.moveTo(mark.x, top); ctx.lineTo(mark.x, bottom);
          for (const end of [top, bottom]) { ctx.moveTo(mark.x - 5, end); ctx.lineTo(mark.x + 5, end); }
          ctx.stroke();
        });
        ctx.restore();
      });
    },
  };

  const intervalOf = (series) => series.low && series.low.map((low, k) => [low, series.high[k]]);
  const points = (series, values) => series.x.map((x, k) => ({ x, y: values[k] }));

  function lineSets(series, i) {
    const few = series.x.length <= 40;
    const sets = [{
      label: series.name, data: points(series, series.y), seriesIndex: i, interval: null, band: intervalOf(series),
      borderWidth: 2, borderDash: kDashes[i % kColours], pointStyle: shapeOf(i),
      pointRadius: few ? 3.5 : 0, pointHitRadius: 8, pointHoverRadius: 5, tension: 0, spanGaps: false,
    }];
    if (series.low) {
      const edge = { seriesIndex: i, edge: true, borderWidth: 0, pointRadius: 0, pointHitRadius: 0, pointHoverRadius: 0 };
      sets.push({ ...edge, label: "", data: points(series, series.low), fill: false });
      sets.push({ ...edge, label: "", data: points(series, series.high), fill: "-1" });
    }
    return sets;
  }
  function datasets(data) {
    if (data.kind === "line") return data.series.flatMap(lineSets);
    return data.series.map((series, i) => ({
      label: series.name, seriesIndex: i, interval: intervalOf(series),
      data: data.kind === "bar" ? series.y : points(series, series.y),
      borderWidth: data.kind === "bar" ? 0 : 1.5, borderRadius: 3, maxBarThickness: 56,
      pointStyle: shapeOf(i), pointRadius: 4.5, pointHoverRadius: 6,
    }));
  }

  function scale(axis, log, category, few) {
    return {
      type: category ? "category" : log ? "logarithmic" : "linear",
      title: { display: axis.label !== "", text: axis.label, font: { size: 13, weight: "500" }, padding: 6 },
      grid: { display: !category, drawBorder: false, tickLength: 6 },
      ticks: {
        font: { size: 12 }, maxRotation: category ? 50 : 0, autoSkipPadding: 14, autoSkip: !(category && few),
        ...(category ? {} : { callback: log ? logTick : (value) => shortNumber(value) }),
      },
    };
  }

  // The axis has to reach the ends of the whiskers; Chart.js looks at the values only.
  function reach(data) {
    const ends = data.series.flatMap((series) => [...(series.low || []), ...(series.high || [])]).filter((v) => v !== null);
    return ends.length === 0 ? {} : { suggestedMin: Math.min(...ends), suggestedMax: Math.max(...ends) };
  }

  function tooltipLabel(data) {
    const unit = data.y.unit ? " " + data.y.unit : "";
    return (item) => {
      const set = item.dataset;
      const interval = (set.interval || set.band || [])[item.dataIndex];
      const range = interval && interval[0] !== null && interval[1] !== null
        ? " [" + shortNumber(interval[0]) + ", " + shortNumber(interval[1]) + "]" : "";
      const at = data.kind === "scatter" ? "(" + shortNumber(item.parsed.x) + ", " + shortNumber(item.parsed.y) + ")" : shortNumber(item.parsed.y);
      return (set.label ? set.label + ": " : "") + at + range + unit;
    };
  }

  function options(data) {
    const named = data.series.length > 1;
    const bars = data.kind === "bar";
    return {
      responsive: true, maintainAspectRatio: false, animation: false,
      interaction: data.kind === "scatter" ? { mode: "nearest", intersect: true } : { mode: bars ? "index" : "nearest", axis: "x", intersect: false },
      scales: {
        x: { ...scale(data.x, data.x.log, bars, data.categories.length <= 16), stacked: !!data.stacked },
        y: { ...scale(data.y, data.y.log, false), ...reach(data), beginAtZero: bars && !data.y.log, stacked: !!data.stacked },
      },
      plugins: {
        legend: {
          display: named, position: "top", align: "start",
          labels: { usePointStyle: true, boxWidth: 8, boxHeight: 8, padding: 16, font: { size: 13 }, filter: (item, all) => !all.datasets[item.datasetIndex].edge },
          onClick(event, item, legend) {  // a band goes with its line
            const chart = legend.chart, visible = chart.isDatasetVisible(item.datasetIndex);
            const wanted = chart.data.datasets[item.datasetIndex].seriesIndex;
            chart.data.datasets.forEach((set, i) => { if (set.seriesIndex === wanted) chart.setDatasetVisibility(i, !visible); });
            chart.update();
          },
        },
        tooltip: {
          filter: (item) => !item.dataset.edge, cornerRadius: 6, padding: 10, usePointStyle: true,
          callbacks: {
            label: tooltipLabel(data),
            title: (items) => !items.length || data.kind === "scatter" ? "" : bars ? items[0].label : data.x.label + " " + shortNumber(items[0].parsed.x),
          },
        },
      },
    };
  }

  function paintSets(sets, bars) {
    for (const set of sets) {
      const main = seriesColor(set.seriesIndex);
      set.borderColor = main;
      set.backgroundColor = set.edge ? main + "2e" : main;
      if (!bars) set.pointBackgroundColor = main;
      set.whiskerColor = bars ? color("ink") : main;
    }
  }
  function paint(chart) {
    paintSets(chart.data.datasets, chart.config.type === "bar");
    for (const axis of [chart.options.scales.x, chart.options.scales.y]) {
      axis.title.color = color("soft");
      axis.ticks.color = color("soft");
      axis.grid.color = color("grid");
    }
    chart.options.plugins.legend.labels.color = color("ink");
    Object.assign(chart.options.plugins.tooltip, {
      backgroundColor: color("ink"), titleColor: color("paper"), bodyColor: color("paper"),
    });
  }

  function draw(canvas) {
    const data = JSON.parse(canvas.parentElement.querySelector("script").textContent);
    const sets = datasets(data);
    paintSets(sets, data.kind === "bar");
    const chart = new Chart(canvas, {
      type: data.kind, plugins: [whiskers], options: options(data),
      data: { labels: data.kind === "bar" ? data.categories : undefined, datasets: sets },
    });
    chart.repaint = () => { paint(chart); chart.update(); };
    charts.push(chart);
  }

  // Drawings can be widened in steps; the rest is out of sight to the left and right.
  function zoomable(picture) {
    const scroll = document.createElement("div"), bar = document.createElement("p");
    scroll.className = "scroll zoomed";
    scroll.tabIndex = 0;
    bar.className = "zoom";
    picture.replaceWith(bar, scroll);
    scroll.append(picture);
    for (const factor of [1, 2, 4, 8, 16]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = factor + "\u00d7";
      button.setAttribute("aria-pressed", factor === 1);
      button.addEventListener("click", () => {
        const middle = (scroll.scrollLeft + scroll.clientWidth / 2) / scroll.scrollWidth;
        picture.style.width = 100 * factor + "%";
        scroll.scrollLeft = middle * scroll.scrollWidth - scroll.clientWidth / 2;
        for (const other of bar.children) other.setAttribute("aria-pressed", other === button);
      });
      bar.append(button);
    }
  }
  document.querySelectorAll('.picture img[src^="data:image/svg"]').forEach(zoomable);

  if (typeof Chart !== "undefined") {
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    document.querySelectorAll("canvas").forEach(draw);
  }
  applyTheme(currentTheme());
})();
