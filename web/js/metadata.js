// The `faceperc` document inside an ONNX file (docs/contract.md).
//
// onnxruntime-web does not hand out a model's metadata_props, so they are read from the file itself: an ONNX
// file is a protobuf message, and of its fields only those are looked at; the others, the weights too, are
// stepped over.

const METADATA_PROPS = 14; // ModelProto.metadata_props: messages with the fields 1, key, and 2, value
const KEY = 1;
const VALUE = 2;
const SCHEMA = 1;

/**
 * The metadata of a model file.
 *
 * @param {Uint8Array} bytes the ONNX file
 * @param {string} source its name, for messages
 * @returns {object} the JSON document
 * @throws {Error} if the file is damaged, is no model of faceperc, or is newer than this page
 */
export function readMetadata(bytes, source) {
  const text = new TextDecoder();
  for (const [field, entry] of messageFields(bytes, source)) {
    if (field !== METADATA_PROPS) continue;
    const parts = Object.fromEntries(messageFields(entry, source));
    if (text.decode(parts[KEY]) !== 'faceperc') continue;
    const document = JSON.parse(text.decode(parts[VALUE]));
    if (document.schema > SCHEMA)
      throw new Error(`${source} is newer than this page (schema ${document.schema})`);
    return document;
  }
  throw new Error(`${source} is not a faceperc model: write one with “faceperc export”`);
}

/** [number, bytes] of each length-delimited field of a protobuf message, in the file's order. */
function* messageFields(bytes, source) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      // multiplied, not shifted: lengths may pass 2^31
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (!(byte & 128)) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag % 8;
    if (wire === 0) varint();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire === 2) {
      const length = varint();
      yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
      at += length;
    } else break;
  }
  if (at !== bytes.length) throw new Error(`${source} is not an ONNX file, or it is damaged`);
}
