// The networks of src/vaebench/networks/conv.py and models/classifier.py on TensorFlow.js, with the weights of page/weights.py.

const SIDE = 28;
const PIXELS = SIDE * SIDE;
const CLASSES = 10;
const SLOPE = 0.01; // of PyTorch's LeakyReLU
// Rows and columns of zeros that PyTorch's padding comes to, before and behind, by stride.
const PADDING = { 1: [1, 1], 2: [1, 0] };

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < bytes.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
}

function valuesOf(base64, Type) {
  return new Type(bytesOf(base64).buffer);
}

class Network {
  constructor({ tensors, values }) {
    const integers = valuesOf(values, Int16Array);
    let start = 0;
    this.weights = {};
    for (const { name, shape, scale } of tensors) {
      const end = start + shape.reduce((product, size) => product * size, 1);
      this.weights[name] = tf.tensor(new Float32Array(integers.subarray(start, end)).map((n) => n * scale), shape);
      start = end;
    }
  }

  multiply(rows, name) {
    return tf.add(tf.matMul(rows, this.weights[`${name}.weight`]), this.weights[`${name}.bias`]);
  }

  convolve(features, name, stride) {
    const pad = [[0, 0], PADDING[stride], PADDING[stride], [0, 0]];
    return tf.add(tf.conv2d(features, this.weights[`${name}.weight`], stride, pad), this.weights[`${name}.bias`]);
  }
}

class Model extends Network {
  constructor(packed) {
    super(packed);
    this.latentDim = packed.latent_dim;
  }

  // Posterior means and log-variances, one row of latentDim after the other, of images in [0, 1].
  encode(images) {
    const [mean, logVar] = tf.tidy(() => {
      let features = asImages(images);
      [1, 2, 2, 1].forEach((stride, layer) => {
        features = tf.leakyRelu(this.convolve(features, `encoder.0.${2 * layer}`, stride), SLOPE);
      });
      const flat = tf.reshape(features, [features.shape[0], -1]);
      return ["encoder.2.mean", "encoder.2.log_var"].map((head) => this.multiply(flat, head));
    });
    const found = { mean: mean.dataSync(), logVar: logVar.dataSync() };
    tf.dispose([mean, logVar]);
    return found;
  }

  // Images in [0, 1], one row of 784 pixels after the other.
  decode(latents) {
    const images = tf.tidy(() => {
      const points = tf.tensor2d(latents, [latents.length / this.latentDim, this.latentDim]);
      let features = tf.reshape(this.multiply(points, "decoder.0"), [-1, 7, 7, 64]);
      [1, 2, 2, 1].forEach((stride, layer) => {
        // A transposed convolution, written as a convolution of the features with zeros between them.
        features = this.convolve(stride === 2 ? spread(features) : features, `decoder.2.${2 * layer}`, 1);
        if (layer < 3) features = tf.leakyRelu(features, SLOPE);
      });
      return tf.sigmoid(features);
    });
    const pixels = images.dataSync();
    images.dispose();
    return pixels;
  }
}

class Classifier extends Network {
  // p(y|x) of images in [0, 1] as a tensor, a row of 10 an image.
  read(images) {
    let features = asImages(images);
    for (const [layer, pooled] of [[0, true], [3, false], [5, true], [8, true]]) {
      features = tf.relu(this.convolve(features, `layers.${layer}`, 1));
      if (pooled) features = tf.maxPool(features, 2, 2, "valid");
    }
    // PyTorch flattens the channels first.
    const flat = tf.reshape(tf.transpose(features, [0, 3, 1, 2]), [features.shape[0], -1]);
    return tf.softmax(this.multiply(tf.relu(this.multiply(flat, "layers.12")), "layers.14"));
  }
}

// What a panel of classifiers makes of images: the mean of its members' p(y|x), a row of 10 an image.
function readBy(panel, images) {
  const mean = tf.tidy(() => tf.div(tf.addN(panel.map((member) => member.read(images))), panel.length));
  const found = mean.dataSync();
  mean.dispose();
  return found;
}

function asImages(pixels) {
  return tf.tensor4d(pixels, [pixels.length / PIXELS, SIDE, SIDE, 1]);
}

// Put zeros after each row and column: (count, height, width, channels), both sides doubled.
function spread(features) {
  const [count, height, width, channels] = features.shape;
  const columns = tf.concat([features, tf.zerosLike(features)], 3);
  const rows = tf.reshape(columns, [count, height, 1, 2 * width * channels]);
  return tf.reshape(tf.concat([rows, tf.zerosLike(rows)], 2), [count, 2 * height, 2 * width, channels]);
}
