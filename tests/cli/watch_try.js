// Run by watch_sample_test.cpp in the page of `uvic watch --sample`: what works is true.
const id = x => document.getElementById(x), said = {};
const until = async (holds, seconds = 40) => {
  for (let i = 0; i < 10 * seconds; ++i) { if (holds()) return true; await new Promise(r => setTimeout(r, 100)); }
  return false;
};
const choose = (name, value) => { id(name).value = value; id(name).dispatchEvent(new Event('change')); };
said.form = await until(() => id('try-checkpoint-a').options.length === 2 && id('try-class').options.length === 12 && id('try-steps').value === '4');
choose('try-run-b', 'r0');
await until(() => id('try-checkpoint-b').options.length === 2);
id('try-checkpoint-b').value = '160';
id('try-steps').value = 8;
id('try-images').value = 3;
id('try-go').click();
const jobs = () => [...document.querySelectorAll('#try-jobs figure')];
said.two = await until(() => jobs().length === 2);
said.images = await until(() => jobs().length === 2 && jobs().every(f => f.querySelectorAll('a[download] img').length === 3 && [...f.querySelectorAll('a img')].every(i => i.naturalWidth === 8)));
said.steps = jobs().every(f => f.querySelector('input').max === '7' && f.querySelector(':scope > img').naturalWidth > 8);
const slider = jobs()[0].querySelector('input'), image = jobs()[0].querySelector(':scope > img'), last = image.src;
slider.value = 0; slider.dispatchEvent(new Event('input'));
said.back = image.src !== last && image.src.includes('number=0');
choose('try-run-b', '');
id('try-steps').value = 250;
id('try-images').value = 16;
id('try-go').click();
await until(() => jobs().length === 3);
jobs()[0].querySelector('button').click();
said.cancel = await until(() => jobs()[0].textContent.includes('cancelled'));
return said;
