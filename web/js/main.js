// The page: what is opened, which models run, what is shown.

import { Camera } from './camera.js';
import { detect } from './detector.js';
import { DRAWN, draw } from './draw.js';
import { analyse, checkFaceModel } from './face.js';
import { readImage } from './image.js';
import { element, listFaces, words } from './list.js';
import { THREADS, bestProvider, fetchModel, openModel } from './model.js';

/** The elements that have an id, by it. */
const page = Object.fromEntries([...document.querySelectorAll('[id]')].map((each) => [each.id, each]));
const parameters = new URLSearchParams(location.search);
const camera = new Camera();
const models = { face: null, detector: null };
const shown = { image: null, faces: [], hidden: new Set() };
window.faceperc = shown; // for the console, and for tests

/** Jobs run one after the other: a model answers one question at a time. After an error the next job runs. */
let last = Promise.resolve();
function enqueue(job) {
  last = last.then(job).catch((error) => {
    console.error(error);
    stopCamera();
    say(error.message, 'error');
  });
  return last;
}

/** Show a line of text; `state` is 'busy', 'ready' or 'error'. */
function say(text, state) {
  page.status.textContent = text;
  page.status.ariaLive = camera.running ? 'off' : 'polite';
  document.body.dataset.state = state;
}

/** Fill the choice of models: what the server offers, and what the address asks for. */
async function listModels() {
  const response = await fetch('models/index.json');
  if (!response.ok)
    throw new Error('models/index.json is missing: start the page with “python web/serve.py”');
  const { face, detector } = await response.json();
  const wanted = parameters.get('model') ?? face[0];
  page.model.replaceChildren(...[...new Set([...face, wanted])].map((name) => new Option(name)));
  page.model.value = wanted;
  page.model.dataset.detector = detector;
  page.provider.value = parameters.get('provider') ?? 'auto';
  page.provider.value ||= 'auto'; // the address named one that there is not
}

/** Open the chosen models. The detector stays on the processor: the size of its input changes. */
async function openModels() {
  const own = page.file.files[0];
  const name = own?.name ?? page.model.value;
  say(`Loading ${name} …`, 'busy');
  const open = async (provider) =>
    own
      ? openModel(new Uint8Array(await own.arrayBuffer()), name, provider)
      : fetchModel(`models/${name}.onnx`, provider);
  const provider = page.provider.value === 'auto' ? await bestProvider() : page.provider.value;
  const face = await open(provider).catch((error) => {
    if (page.provider.value !== 'auto' || provider === 'wasm') throw error;
    console.warn(error); // a graphics adapter that cannot run this model
    return open('wasm');
  });
  checkFaceModel(face);
  models.detector ??= await fetchModel(`models/${page.model.dataset.detector}.onnx`, 'wasm');
  models.face = face;
  const drawn = Object.entries(face.metadata.tasks).filter(([, { kind }]) => DRAWN.includes(kind));
  page.tasks.replaceChildren(...drawn.map(([task]) => toggle(task)));
  say(`${face.metadata.name} is ready.`, 'ready');
}

/** A switch that shows or hides the drawing of a task. */
function toggle(task) {
  const box = element('input', { type: 'checkbox', checked: !shown.hidden.has(task) });
  box.addEventListener('change', () => {
    shown.hidden[box.checked ? 'delete' : 'add'](task);
    enqueue(show);
  });
  return element('label', {}, [box, words(task)]);
}

/** Find and read the faces of an image, and show them. */
async function look(image) {
  if (!models.face) throw new Error('No model is open');
  const start = performance.now();
  const found = await detect(models.detector, image);
  const faces = await analyse(models.face, image, found);
  const time = Math.round(performance.now() - start);
  Object.assign(shown, { image, faces });
  await show();
  const count = faces.length === 1 ? '1 face' : `${faces.length || 'No'} faces`;
  const by = models.face.provider === 'wasm' ? `WebAssembly, threads: ${THREADS}` : 'WebGPU';
  say(`${count} in ${time} ms (${by})`, 'ready');
}

async function show() {
  if (!shown.image) return;
  page.stage.classList.add('filled');
  await draw(page.picture, shown.image, shown.faces, shown.hidden);
  listFaces(page.faces, shown, models.face.metadata.tasks, page.picture);
}

/** Look at a photograph; the camera stops. */
function openPhoto(file) {
  stopCamera();
  say('Looking …', 'busy');
  return enqueue(async () => look(await readImage(file)));
}

function stopCamera() {
  camera.stop();
  page.camera.setAttribute('aria-pressed', 'false');
}

async function toggleCamera() {
  if (camera.running) return stopCamera();
  say('Starting the camera …', 'busy');
  await camera.start((frame) => enqueue(() => look(frame)));
  page.camera.setAttribute('aria-pressed', 'true');
}

async function changeModels() {
  await openModels();
  if (shown.image && !camera.running) await look(shown.image);
}

page.photo.addEventListener('change', () => {
  if (page.photo.files[0]) openPhoto(page.photo.files[0]);
  page.photo.value = ''; // so that the same file can be opened again
});
page.camera.addEventListener('click', () => enqueue(toggleCamera));
page.sample.addEventListener('click', async () => openPhoto(await (await fetch('sample.jpg')).blob()));
page.model.addEventListener('change', () => {
  page.file.value = ''; // a name was chosen: no longer the own file
  enqueue(changeModels);
});
page.provider.addEventListener('change', () => enqueue(changeModels));
page.file.addEventListener('change', () => enqueue(changeModels));

document.addEventListener('dragover', (event) => event.preventDefault());
document.addEventListener('drop', (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) openPhoto(event.dataTransfer.files[0]);
});
document.addEventListener('paste', (event) => {
  if (event.clipboardData.files[0]) openPhoto(event.clipboardData.files[0]);
});

enqueue(async () => {
  await listModels();
  await openModels();
});
