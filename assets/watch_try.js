// Try it: samples of checkpoints on request, next to each other, step by step. Only with `uvic watch --sample`.
"use strict";
const WatchTry = (() => {
  const id = name => document.getElementById(name);
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  // page: { runs, address(path, query), ask(path, query), short(number) }
  const start = page => {
    const choices = new Map(), jobs = new Map();
    const option = (value, text) => make("option", { value, textContent: text });
    const fill = (select, list, wanted) => {
      const before = select.value;
      select.replaceChildren(...list);
      const has = value => [...select.options].some(o => o.value === value);
      select.value = wanted !== undefined && has(wanted) ? wanted : has(before) ? before : list.length ? list[0].value : "";
    };
    const choicesOf = async (run, again) => {
      if (again || !choices.has(run)) choices.set(run, await page.ask("api/choices", { run }));
      return choices.get(run);
    };
    const sides = [{ run: id("try-run-a"), checkpoint: id("try-checkpoint-a") }, { run: id("try-run-b"), checkpoint: id("try-checkpoint-b") }];
    const fillCheckpoints = async (side, again) => {
      if (!side.run.value) return side.checkpoint.replaceChildren();
      const { checkpoints } = await choicesOf(side.run.value, again);
      fill(side.checkpoint, [...checkpoints].reverse().map(c => option(String(c), page.short(c))), again ? side.checkpoint.value : undefined);
    };
    const fillSubject = async () => {
      if (!sides[0].run.value) return;
      const of = await choicesOf(sides[0].run.value);
      id("try-prompt-label").hidden = !of.text;
      id("try-class-label").hidden = !of.classes.length;
      fill(id("try-class"), [option("", "in turn by seed"), ...of.classes.map((name, i) => option(`index:${i}`, name))]);
      fill(id("try-sampler"), of.samplers.map(s => option(s, s)), of.sampler);
      id("try-steps").value = of.steps;
      id("try-steps").max = of.most_steps;
      id("try-images").max = of.most_images;
      id("try-guidance").value = of.guidance;
    };
    const showRuns = async () => {
      const list = [...page.runs.values()].filter(r => r.examples === "images").map(r => option(r.id, r.name));
      if (sides[0].run.options.length === list.length && sides[1].run.options.length === list.length + 1) return;
      fill(sides[0].run, list);
      fill(sides[1].run, [option("", "nothing"), ...list.map(o => o.cloneNode(true))]);
      try {
        await Promise.all(sides.map(s => fillCheckpoints(s)));
        await fillSubject();
      } catch (error) { say(error.message); }
    };
    const say = text => { id("try-said").textContent = text; };
    const send = async (path, query, body) => {
      const response = await fetch(page.address(path, query), { method: "POST", headers: { "Content-Type": "application/json" }, body });
      if (!response.ok) throw new Error((await response.text()).trim());
      return response.json();
    };
    const generate = async event => {
      event.preventDefault();
      say("");
      const number = name => Number(id(name).value), made = [];
      for (const side of sides) {
        if (!side.run.value || !side.checkpoint.value) continue;
        const ask = { run: side.run.value, checkpoint: Number(side.checkpoint.value), seed: number("try-seed"), images: number("try-images"), steps: number("try-steps"), sampler: id("try-sampler").value, guidance: number("try-guidance") };
        const of = await choicesOf(side.run.value);
        if (of.classes.length && id("try-class").value) ask.label = id("try-class").value;
        if (of.text) ask.prompt = id("try-prompt").value;
        try {
          const { job } = await send("api/sample", {}, JSON.stringify(ask));
          if (!jobs.has(job.id)) show(job);  // an event may have come first, and says more
          made.push(jobs.get(job.id).root);
        } catch (error) { say(error.message); }
      }
      id("try-jobs").prepend(...made);  // the newest first, what is compared in its order
    };
    const makeBox = job => {
      const image = make("img", { alt: "" }), text = make("span"), images = make("div", { className: "try-images" });
      const cancel = make("button", { type: "button", textContent: "Cancel" }), slider = make("input", { type: "range", min: 0, step: 1, ariaLabel: "Step" });
      cancel.addEventListener("click", () => send("api/cancel", { job: job.id }, "").catch(error => say(error.message)));
      const box = { job, image, text, images, cancel, slider, follows: true, root: null };
      slider.addEventListener("input", () => { box.follows = +slider.value === +slider.max; showFrame(box); });
      box.root = make("figure", {}, make("figcaption", {}, make("b", { textContent: job.run_name }), `, ${page.short(job.checkpoint)} images, ${job.sampler}, guidance ${job.guidance} `, text, " ", cancel), image, slider, images);
      box.root.dataset.job = job.id;
      return box;
    };
    const showFrame = box => {
      const last = box.job.frames - 1, number = box.follows ? last : Math.min(+box.slider.value, last);
      if (last < 0 || box.shown === number) return;
      box.shown = number;
      box.image.src = page.address("api/frame", { job: box.job.id, number });
      box.image.alt = `The prediction at frame ${number + 1} of ${last + 1}`;
    };
    // A job, new or changed.
    const show = job => {
      if (!jobs.has(job.id)) {
        jobs.set(job.id, makeBox(job));
        id("try-jobs").prepend(jobs.get(job.id).root);
        while (id("try-jobs").children.length > 12) id("try-jobs").lastChild.remove();
      }
      const box = jobs.get(job.id);
      box.job = job;
      const isOver = !["waiting", "running"].includes(job.state);
      box.text.textContent = job.state === "waiting" ? `waits for ${job.ahead} before it` : job.state === "running" ? `step ${job.step}${job.steps ? " of " + job.steps : ""}` : job.state === "done" ? "" : job.fault || job.state;
      box.cancel.hidden = isOver;
      box.image.hidden = box.slider.hidden = !job.frames;
      box.slider.max = Math.max(0, job.frames - 1);
      if (box.follows) box.slider.value = box.slider.max;
      showFrame(box);
      if (job.state !== "done" || box.images.children.length) return;
      box.images.replaceChildren(...job.seeds.map((seed, number) => {
        const source = page.address("api/image", { job: job.id, number });
        return make("a", { href: source, download: `${job.run_name.replace(/[^\w.-]+/g, "_")}_${job.checkpoint}_seed${seed}.png`, title: `seed ${seed}: download the PNG, which says how it was made` }, make("img", { src: source, alt: `Sample of seed ${seed}` }));
      }));
    };
    id("try").hidden = false;
    id("try-form").addEventListener("submit", generate);
    sides[0].run.addEventListener("change", () => { fillCheckpoints(sides[0]); fillSubject(); });
    sides[1].run.addEventListener("change", () => fillCheckpoints(sides[1]));
    for (const side of sides) side.checkpoint.addEventListener("focus", () => fillCheckpoints(side, true));
    page.ask("api/jobs").then(list => list.slice(-12).forEach(show)).catch(() => {});
    return { show, showRuns };
  };
  return { start };
})();
