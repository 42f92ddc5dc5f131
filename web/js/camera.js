// The camera: frames, one after the other, as fast as they are looked at.

import { grab } from './image.js';

export class Camera {
  #stream = null;

  get running() {
    return this.#stream !== null;
  }

  /**
   * Start; the browser asks the user first.
   *
   * @param {(frame: ImageData) => Promise<void>} look is called with a frame, and awaited before the next
   * @throws {Error} if there is no camera, or the user does not allow it
   */
  async start(look) {
    const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true });
    try {
      const wanted = { facingMode: 'user', width: { ideal: 640 } };
      video.srcObject = this.#stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
      await video.play();
    } catch (error) {
      this.stop();
      throw new Error(`The camera cannot be used: ${error.message}`);
    }
    this.#frames(video, look);
  }

  stop() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
  }

  async #frames(video, look) {
    while (this.#stream === video.srcObject) {
      await look(grab(video, video.videoWidth, video.videoHeight));
      await new Promise(requestAnimationFrame);
    }
  }
}
