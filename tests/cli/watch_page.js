// Run by watch_test.cpp in the page of `uvic watch`, next to a run that trains: what works is true.
const id = x => document.getElementById(x), said = {};
const until = async (holds, seconds = 40) => {
  for (let i = 0; i < 10 * seconds; ++i) { if (holds()) return true; await new Promise(r => setTimeout(r, 100)); }
  return false;
};
// Pixels of a plot that are not its background.
const ink = () => {
  const c = document.querySelector('.live canvas'), copy = Object.assign(document.createElement('canvas'), { width: c.width, height: c.height });
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(c, 0, 0);
  const d = context.getImageData(0, 0, c.width, c.height).data;
  let count = 0;
  for (let i = 3; i < d.length; i += 4) count += d[i] > 0;
  return count;
};
said.live = await until(() => id('link').textContent === 'live');
said.curve = await until(() => document.querySelectorAll('.live canvas').length >= 6 && ink() > 500);
said.narrow = document.documentElement.scrollWidth <= innerWidth;
said.background = getComputedStyle(document.body).backgroundColor;
if (innerWidth < 600) return said;
const seen = () => document.querySelectorAll('#run-rows .progress-cell span');
const first = [...seen()].map(e => e.textContent).join();
said.grows = await until(() => [...seen()].map(e => e.textContent).join() !== first);
said.grid = await until(() => document.querySelectorAll('#grids img').length === 2 && [...document.querySelectorAll('#grids img')].every(i => i.naturalWidth > 8));
said.score = await until(() => [...document.querySelectorAll('.live h3')].some(h => h.textContent === 'Score'));
said.attention = await until(() => [...document.querySelectorAll('.live h3')].some(h => h.textContent === 'Attention: entropy, nats'));
said.config = [...document.querySelectorAll('#config-table th')].some(t => t.textContent === 'model.attention');
said.log = await until(() => id('log').textContent.includes('images/s'));
const canvas = document.querySelector('.live .u-over'), box = canvas.getBoundingClientRect();
// uPlot passes over moves that are none.
const mouse = (target, kind, share) => target.dispatchEvent(new MouseEvent(kind, { bubbles: true, clientX: box.left + share * box.width, clientY: box.top + 60, movementX: 40, movementY: 1 }));
mouse(canvas, 'mouseenter', 0.2); mouse(canvas, 'mousemove', 0.2);
said.hover = await until(() => [...document.querySelectorAll('.live .readout')].some(r => !r.hidden && /[ab]: [0-9.]+ at /.test(r.textContent)), 5);
mouse(canvas, 'mousedown', 0.2); mouse(canvas, 'mousemove', 0.4); mouse(canvas, 'mousemove', 0.6);
await new Promise(r => setTimeout(r, 100));
mouse(document, 'mouseup', 0.6);
said.zoom = await until(() => !id('unzoom').disabled, 5);
document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'r', bubbles: true }));
said.whole = await until(() => id('unzoom').disabled, 5);
document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'l', bubbles: true }));
document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '+', bubbles: true }));
said.keys = id('log-y').checked && id('smoothing-text').textContent === '0.1';
for (const axis of ['time', 'epochs', 'images']) { id('axis').value = axis; id('axis').dispatchEvent(new Event('change')); said[axis] = await until(() => ink() > 500, 5); }
const slider = id('moment'); slider.value = 0; slider.dispatchEvent(new Event('input'));
said.film = id('moment-text').textContent.startsWith('32 ');
document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '1', bubbles: true }));
said.choose = await until(() => document.querySelectorAll('#grids img').length === 1, 5);
return said;
