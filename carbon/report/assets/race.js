// The race between configurations: a lane for each, its phases drawn as far as the clock has come.
(() => {
  const place = document.getElementById("race-plot");
  if (!place) return;
  const { lanes } = JSON.parse(document.getElementById("race-data").textContent);
  const button = document.getElementById("race-play");
  const speed = document.getElementById("race-speed");
  const slider = document.getElementById("race-moment");
  const clock = document.getElementById("race-clock");
  const stepsOnly = matchMedia("(prefers-reduced-motion: reduce)");

  const LANE = 26, BAR = 14, TOP = 6, AXIS = 44;
  const WHOLE_S = 10; // of the race at a speed of 1
  const STEPS = 20; // for who wants no motion
  const STEPS_MAX = Number(slider.max);

  const firstS = Math.min(...lanes.map((lane) => lane.phases[0].until)) / 3;
  const lastS = Math.max(...lanes.map((lane) => lane.finish)) * 1.02;
  const momentAt = (share) => firstS * (lastS / firstS) ** share;

  const SHAPES = {
    circle: "M0,-6A6,6 0 1 1 0,6A6,6 0 1 1 0,-6Z",
    square: "M-5.5,-5.5H5.5V5.5H-5.5Z",
    "triangle-up": "M0,-6.5L6.5,5.5H-6.5Z",
    "triangle-down": "M0,6.5L6.5,-5.5H-6.5Z",
    "triangle-right": "M6.5,0L-5.5,6.5V-6.5Z",
    "triangle-left": "M-6.5,0L5.5,6.5V-6.5Z",
    diamond: "M0,-7L6,0L0,7L-6,0Z",
    cross: "M-2.2,-6.5H2.2V-2.2H6.5V2.2H2.2V6.5H-2.2V2.2H-6.5V-2.2H-2.2Z",
  };

  const make = (name, attributes, parent, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };

  const digits = (value) => String(Number(value.toPrecision(value >= 100 ? 4 : 3)));
  const duration = (s) => {
    if (s < 1) return `${digits(s * 1000)} ms`;
    if (s < 600) return `${digits(s)} s`;
    if (s < 7200) return `${digits(s / 60)} min`;
    return `${digits(s / 3600)} h`;
  };

  // Round values, so close that four or more fit and so far apart that none covers another.
  const ticks = (width) => {
    const UNITS = [1e-3, 1e-2, 0.1, 1, 10, 60, 600, 3600, 36000, 360000, 3600000];
    const all = UNITS.flatMap((unit, i) =>
      [1, 2, 3, 5].map((n) => n * unit).filter((v) => v < (UNITS[i + 1] ?? Infinity)));
    const within = all.filter((v) => v >= firstS && v <= lastS);
    const apart = Math.log(lastS / firstS) * 62 / width;
    const kept = [];
    for (const v of within) {
      if (!kept.length || Math.log(v / kept[kept.length - 1]) > apart) kept.push(v);
    }
    return kept;
  };

  const doneAt = (lane, s) => {
    const { points } = lane;
    if (s >= lane.finish) return 1;
    const after = points.findIndex(([moment]) => moment > s);
    const [fromS, less] = points[after - 1], [untilS, more] = points[after];
    return less + (more - less) * (s - fromS) / (untilS - fromS);
  };

  let share = 1, playing = false, before = 0, drawn = null;

  const draw = () => {
    const width = Math.max(place.clientWidth, 300);
    const longest = Math.max(...lanes.map((lane) => lane.label.length));
    const left = Math.min(longest * 7.2 + 18, width * 0.38), right = 92;
    const plot = width - left - right;
    const height = TOP + lanes.length * LANE + AXIS;
    const x = (s) => left + plot * Math.max(0, Math.log(s / firstS) / Math.log(lastS / firstS));
    const svg = make("svg", {
      viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
      "aria-label": `Finish times: ${lanes.map((lane) =>
        `${lane.label} ${duration(lane.finish)}${lane.extrapolated ? " (extrapolated)" : ""}`).join(", ")}`,
    });
    const defs = make("defs", {}, svg);
    const pattern = (id, color) => {
      const found = make("pattern", {
        id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)",
      }, defs);
      make("rect", { width: 5, height: 5, fill: "#fff" }, found);
      make("rect", { width: 2.2, height: 5, fill: color }, found);
    };
    pattern("race-hatch", "#3a4643");
    for (const color of new Set(lanes.map((lane) => lane.color))) {
      pattern(`race-hatch-${color.slice(1)}`, color);
    }
    const bottom = TOP + lanes.length * LANE;
    for (const v of ticks(plot)) {
      make("line", { x1: x(v), x2: x(v), y1: TOP, y2: bottom + 4, stroke: "#e3e8e6" }, svg);
      make("text", { x: x(v), y: bottom + 18, "text-anchor": "middle", class: "tick" }, svg, duration(v));
    }
    make("text", { x: left + plot / 2, y: bottom + 37, "text-anchor": "middle", class: "tick" }, svg,
      "Time since the start (logarithmic)");
    const clip = make("rect", { x: 0, y: 0, width: 0, height: bottom }, make("clipPath", { id: "race-now" }, defs));
    const moving = lanes.map((lane, i) => {
      const y = TOP + i * LANE + LANE / 2;
      make("text", { x: left - 12, y, class: "lane", "text-anchor": "end" }, svg, lane.label);
      for (const [name, clipped] of [["track", false], ["bar", true]]) {
        const group = make("g", clipped ? { "clip-path": "url(#race-now)" } : { opacity: 0.16 }, svg);
        for (const phase of lane.phases) {
          const from = x(phase.from), until = x(phase.until);
          const isMeasured = phase.name !== "extrapolated";
          const bar = make("rect", {
            x: from, y: y - BAR / 2, width: Math.max(until - from, 1), height: BAR, class: name,
            fill: phase.name === "warm-up" ? `url(#race-hatch-${lane.color.slice(1)})`
              : isMeasured ? lane.color : "#fff",
            stroke: lane.color, ...(isMeasured ? {} : { "stroke-dasharray": "5 4" }),
          }, group);
          make("title", {}, bar, `${lane.label}, ${phase.name}: ${duration(phase.from)} to ${duration(phase.until)}`);
        }
      }
      const marker = make("path", {
        d: SHAPES[lane.shape], fill: lane.extrapolated ? "#fff" : lane.color,
        stroke: lane.extrapolated ? lane.color : "#fff", "stroke-width": 1.5,
      }, svg);
      const result = make("text", { y, class: "result" }, svg);
      return { lane, y, marker, result };
    });
    const now = make("line", { y1: TOP, y2: bottom, stroke: "#3a4643", "stroke-width": 1 }, svg);
    drawn = { x, clip, moving, now, width };
    place.replaceChildren(svg);
    show();
  };

  const show = () => {
    const s = momentAt(share);
    const at = drawn.x(s);
    drawn.clip.setAttribute("width", at);
    drawn.now.setAttribute("x1", at);
    drawn.now.setAttribute("x2", at);
    drawn.now.setAttribute("opacity", share < 1 ? 0.5 : 0);
    for (const { lane, y, marker, result } of drawn.moving) {
      const done = doneAt(lane, s);
      const end = drawn.x(Math.min(s, lane.finish));
      marker.setAttribute("transform", `translate(${end},${y})`);
      result.setAttribute("x", end + 12);
      result.classList.toggle("done", done === 1);
      result.textContent = done === 1
        ? `${lane.extrapolated ? "≈ " : ""}${duration(lane.finish)}`
        : `${Math.floor(done * 100)} %`;
    }
    const finished = lanes.filter((lane) => lane.finish <= s).length;
    clock.textContent = `${duration(s)} · ${finished} of ${lanes.length} finished`;
    slider.value = Math.round(share * STEPS_MAX);
    slider.setAttribute("aria-valuetext", clock.textContent);
  };

  const play = (wanted) => {
    playing = wanted;
    button.textContent = wanted ? "Pause" : "Play";
    button.setAttribute("aria-pressed", String(wanted));
    if (!wanted) return;
    if (share >= 1) share = 0;
    before = performance.now();
    requestAnimationFrame(advance);
  };

  const advance = (nowMs) => {
    if (!playing) return;
    const rate = Number(speed.value) / WHOLE_S;
    const stepS = stepsOnly.matches ? 1 / STEPS / rate : 0;
    const passedS = Math.max(0, nowMs - before) / 1000;
    if (passedS >= stepS) {
      share = Math.min(1, share + passedS * rate);
      before = nowMs;
      show();
    }
    if (share >= 1) play(false);
    else requestAnimationFrame(advance);
  };

  button.addEventListener("click", () => play(!playing));
  slider.addEventListener("input", () => {
    play(false);
    share = Number(slider.value) / STEPS_MAX;
    show();
  });
  new ResizeObserver(() => {
    if (drawn === null || Math.max(place.clientWidth, 300) !== drawn.width) draw();
  }).observe(place);
})();
