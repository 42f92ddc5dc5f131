// All results of the faces of an image: box -> crop -> network -> results by task.

import { FaceCrop } from './crop.js';
import { KINDS } from './kinds.js';

const BATCH = 8; // faces per run: bounds the memory on a photograph of a crowd

/**
 * Look at each face once.
 *
 * @param {import('./model.js').Model} model an opened face model
 * @param {ImageData} image
 * @param {{box: number[], score: number}[]} found the faces
 * @returns {Promise<{box: number[], score: number, tasks: Object<string, object>}[]>} with a result per task
 */
export async function analyse(model, image, found) {
  const { crop: rule, tasks } = model.metadata;
  const faces = [];
  for (let start = 0; start < found.length; start += BATCH) {
    const some = found.slice(start, start + BATCH);
    const crops = some.map(({ box }) => FaceCrop.fromBox(box, rule));
    const batch = new Uint8Array(crops.length * rule.size * rule.size * 3);
    crops.forEach((crop, index) => batch.set(crop.warp(image), (index * batch.length) / crops.length));
    const outputs = await model.run(batch, [crops.length, rule.size, rule.size, 3]);
    some.forEach((face, index) => {
      faces.push({ ...face, tasks: present(tasks, outputs, index, crops) });
    });
  }
  return faces;
}

/** The results of the face with this index in the batch, by task. */
function present(tasks, outputs, index, crops) {
  const results = {};
  for (const [name, info] of Object.entries(tasks)) {
    const fields = {};
    for (const [field, { output }] of Object.entries(info.fields)) {
      const { data } = outputs[output];
      const length = data.length / crops.length;
      fields[field] = data.subarray(index * length, (index + 1) * length);
    }
    results[name] = { kind: info.kind, ...KINDS[info.kind](fields, info, crops[index]) };
  }
  return results;
}

/**
 * Check that this page can use a face model.
 *
 * @throws {Error} naming what it cannot use
 */
export function checkFaceModel({ metadata }) {
  const { name, role, form = 'crop', crop, tasks } = metadata;
  if (role !== 'face' || !crop) throw new Error(`${name} does not read face crops`);
  if (form !== 'crop')
    throw new Error(
      `${name} takes whole images (its form is “${form}”); use its crop form: faceperc export --form crop`,
    );
  const unknown = Object.values(tasks).find(({ kind }) => !(kind in KINDS));
  if (unknown)
    throw new Error(`${name} has results of the kind “${unknown.kind}”, which this page does not know`);
}
