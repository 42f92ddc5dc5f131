// A model file in onnxruntime-web, with its metadata.

import { readMetadata } from './metadata.js';

const VENDOR = new URL('../vendor/', import.meta.url).href;

/** The build of onnxruntime-web for each execution provider, loaded on demand: WebGPU's is larger. */
const BUILDS = { wasm: 'ort.wasm.min.mjs', webgpu: 'ort.webgpu.min.mjs' };

/** Only a cross-origin isolated page has threads: web/serve.py sends the headers for it. */
export const THREADS = crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;

/**
 * @typedef {object} Model
 * @property {object} metadata the document `faceperc` of the file
 * @property {string} provider the execution provider that runs it
 * @property {(data: Uint8Array, dims: number[]) => Promise<Object<string, {data: Float32Array}>>} run gives
 *     the outputs by name
 */

/** 'webgpu' where this browser has a real graphics adapter for it, not one in software; else 'wasm'. */
export async function bestProvider() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return adapter && !adapter.info?.isFallbackAdapter ? 'webgpu' : 'wasm';
}

/**
 * Open a model.
 *
 * @param {Uint8Array} bytes the ONNX file
 * @param {string} source its name, for messages
 * @param {string} provider 'wasm' or 'webgpu'
 * @returns {Promise<Model>}
 * @throws {Error} if the file is no model of faceperc, or the provider cannot run it
 */
export async function openModel(bytes, source, provider) {
  const metadata = readMetadata(bytes, source);
  const ort = await import(VENDOR + BUILDS[provider]).catch((error) => {
    throw new Error(`onnxruntime-web is not there: run “python web/vendor.py” (${error.message})`);
  });
  ort.env.wasm.wasmPaths = VENDOR;
  ort.env.wasm.numThreads = THREADS;
  ort.env.logLevel = 'error';
  const session = await ort.InferenceSession.create(bytes, { executionProviders: [provider] });
  const run = (data, dims) => session.run({ [metadata.input.name]: new ort.Tensor('uint8', data, dims) });
  return { metadata, provider, run };
}

/**
 * Fetch and open a model.
 *
 * @param {string} url of the ONNX file
 * @param {string} provider 'wasm' or 'webgpu'
 * @returns {Promise<Model>}
 * @throws {Error} if it cannot be fetched or opened
 */
export async function fetchModel(url, provider) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return openModel(new Uint8Array(await response.arrayBuffer()), url, provider);
}
