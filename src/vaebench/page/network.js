// The network of src/vaebench/vae.py on TensorFlow.js, with the weights of src/vaebench/page/weights.py.

const SIDE = 28;
const PIXELS = SIDE * SIDE;
const SLOPE = 0.01; // of PyTorch's LeakyReLU
// Rows and columns of zeros that PyTorch's padding comes to, before and behind, by stride.
const PADDING = { 1: [1, 1], 2: [1, 0] };

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function valuesOf(base64, Type) {
  return new Type(bytesOf(base64).buffer);
}

class Model {
  constructor({ latent_dim, tensors, values }) {
    this.latentDim = latent_dim;
    const integers = valuesOf(values, Int16Array);
    let start = 0;
    this.weights = {};
    for (const { name, shape, scale } of tensors) {
      const end = start + shape.reduce((product, size) => product * size, 1);
      this.weights[name] = tf.tensor(Float32Array.from(integers.subarray(start, end), (n) => n * scale), shape);
      start = end;
    }
  }

  // Posterior means and log-variances, one row of latentDim after the other, of images in [0, 1].
  encode(images) {
    const [mean, logVar] = tf.tidy(() => {
      let features = tf.tensor4d(images, [images.length / PIXELS, SIDE, SIDE, 1]);
      [1, 2, 2, 1].forEach((stride, layer) => {
        features = tf.leakyRelu(this.#convolve(features, `encoder.${2 * layer}`, stride), SLOPE);
      });
      const flat = tf.reshape(features, [features.shape[0], -1]);
      return ["mean", "log_var"].map((head) => this.#multiply(flat, head));
    });
    const found = { mean: mean.dataSync(), logVar: logVar.dataSync() };
    tf.dispose([mean, logVar]);
    return found;
  }

  // Images in [0, 1], one row of 784 pixels after the other.
  decode(latents) {
    const images = tf.tidy(() => {
      const points = tf.tensor2d(latents, [latents.length / this.latentDim, this.latentDim]);
      let features = tf.reshape(this.#multiply(points, "expand"), [-1, 7, 7, 64]);
      [1, 2, 2, 1].forEach((stride, layer) => {
        features = this.#convolveTransposed(features, `decoder.${2 * layer}`, stride);
        if (layer < 3) features = tf.leakyRelu(features, SLOPE);
      });
      return tf.sigmoid(features);
    });
    const pixels = images.dataSync();
    images.dispose();
    return pixels;
  }

  #multiply(rows, name) {
    return tf.add(tf.matMul(rows, this.weights[`${name}.weight`]), this.weights[`${name}.bias`]);
  }

  #convolve(features, name, stride) {
    const pad = [[0, 0], PADDING[stride], PADDING[stride], [0, 0]];
    return tf.add(tf.conv2d(features, this.weights[`${name}.weight`], stride, pad), this.weights[`${name}.bias`]);
  }

  // A transposed convolution, written as a convolution of the features with zeros between them.
  #convolveTransposed(features, name, stride) {
    return this.#convolve(stride === 2 ? spread(features) : features, name, 1);
  }
}

// Put zeros after each row and column: (count, height, width, channels), both sides doubled.
function spread(features) {
  const [count, height, width, channels] = features.shape;
  const columns = tf.concat([features, tf.zerosLike(features)], 3);
  const rows = tf.reshape(columns, [count, height, 1, 2 * width * channels]);
  return tf.reshape(tf.concat([rows, tf.zerosLike(rows)], 2), [count, 2 * height, 2 * width, channels]);
}
