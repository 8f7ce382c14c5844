"""Keras models of the kinds that the field uses, with fixed weights: one factory each."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

L = keras.layers


def seeded(model: Any) -> Any:
    """Give every weight a fixed value; variances must be positive."""
    rng = np.random.default_rng(7)
    model.set_weights(
        [np.abs(rng.normal(0, 0.3, w.shape)).astype(w.dtype) if w.dtype.kind == "f" else w for w in model.get_weights()]
    )
    return model


def residual_network() -> Any:
    image = keras.Input((16, 16, 3), name="image")
    x = L.Conv2D(8, 3, padding="same", use_bias=False)(image)
    for strides in (1, 2):
        y = L.ReLU(max_value=6)(L.BatchNormalization()(x))
        y = L.Conv2D(8, 3, strides=strides, padding="same")(y)
        x = L.Add()([L.Conv2D(8, 1, strides=strides)(x), y])
    x = L.Dropout(0.5)(L.GlobalAveragePooling2D()(L.MaxPooling2D()(x)))
    return seeded(keras.Model(image, L.Dense(3, name="classes")(x)))


def fully_convolutional() -> Any:
    """Height and width are dynamic."""
    image = keras.Input((None, None, 2), name="image")
    x = L.SeparableConv2D(4, 3, padding="same", activation="relu")(image)
    x = L.DepthwiseConv2D(3, padding="same", activation="elu")(x)
    x = L.Conv2DTranspose(2, 3, strides=2, padding="same")(x)
    return seeded(keras.Model(image, L.UpSampling2D(2, name="map")(x)))


def bilinear() -> Any:
    """Keras itself looks at a length that is not known before the model runs."""
    image = keras.Input((None, None, 2), name="image")
    return keras.Model(image, L.UpSampling2D(2, interpolation="bilinear", name="map")(image))


def lstm() -> Any:
    tracks = keras.Input((9, 3), name="tracks")
    x = L.LSTM(6, return_sequences=True)(tracks)
    return seeded(keras.Model(tracks, L.Dense(2, name="flavour")(L.LSTM(4)(x))))


def gru_dynamic() -> Any:
    tracks = keras.Input((None, 3), name="tracks")
    x = L.GRU(6, return_sequences=True)(tracks)
    return seeded(keras.Model(tracks, L.Dense(2, name="flavour")(L.GRU(4, reset_after=False)(x))))


def bidirectional_masked() -> Any:
    """Padded with zeros: those steps do not count."""
    tracks = keras.Input((None, 3), name="tracks")
    x = L.Bidirectional(L.LSTM(5))(L.Masking(0.0)(tracks))
    return seeded(keras.Model(tracks, L.Dense(2, name="flavour")(x)))


def embedding_masked() -> Any:
    kinds = keras.Input((None,), dtype="int32", name="kinds")
    x = L.LSTM(5)(L.Embedding(20, 4, mask_zero=True)(kinds))
    return seeded(keras.Model(kinds, L.Dense(2, name="score")(x)))


def transformer() -> Any:
    x = jets = keras.Input((None, 8), name="jets")
    for _ in range(2):
        x = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 4)(x, x)]))
        x = L.Add()([x, L.Dense(8)(L.Dense(16, "gelu")(x))])
    return seeded(keras.Model(jets, L.Dense(2, name="tag")(L.GlobalAveragePooling1D()(x))))


def causal_convolution() -> Any:
    wave = keras.Input((None, 2), name="wave")
    x = L.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu")(wave)
    return seeded(keras.Model(wave, L.Conv1D(1, 1, name="trigger")(x)))


def named_by_dicts() -> Any:
    """Inputs and outputs are dicts whose keys are not in alphabetical order."""
    inputs = {"tracks": keras.Input((6, 3), name="tracks"), "event": keras.Input((2,), name="event")}
    x = L.Concatenate()([L.Flatten()(inputs["tracks"]), inputs["event"]])
    return seeded(keras.Model(inputs, {"pt": L.Dense(1)(x), "flavour": L.Dense(3, "softmax")(x)}))


def mixed_precision() -> Any:
    policy = "mixed_float16"
    x = hits = keras.Input((8,), name="hits")
    x = L.Dense(16, "relu", dtype=policy)(x)
    x = L.BatchNormalization(dtype=policy)(x)
    return seeded(keras.Model(hits, L.Dense(2, name="score", dtype="float32")(x)))


def double_precision() -> Any:
    hits = keras.Input((4,), name="hits", dtype="float64")
    return seeded(keras.Model(hits, L.Dense(2, name="score", dtype="float64")(L.Dense(5, "tanh", dtype="float64")(hits))))


def nested_models() -> Any:
    """One inner model called twice."""
    inner = keras.Sequential([keras.Input((4,)), L.Dense(6, "selu"), L.LayerNormalization()], name="inner")
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    return seeded(keras.Model([left, right], L.Dense(1, name="same")(L.Subtract()([inner(left), inner(right)]))))


@keras.saving.register_keras_serializable("portinf_tests")
class Scale(L.Layer):
    """A custom layer with a weight of its own."""

    def build(self, shape: Any) -> None:
        self.factor = self.add_weight(shape=(shape[-1],), name="factor")

    def call(self, x: Any) -> Any:
        return keras.ops.sign(x) * keras.ops.log1p(keras.ops.abs(x * self.factor))


def custom_layer() -> Any:
    x = keras.Input((4,), name="x")
    return seeded(keras.Model(x, L.Dense(2, name="y")(Scale()(x))))


class DeepSets(keras.Model):
    """Subclassed: the names of its inputs are those of its call."""

    def __init__(self) -> None:
        super().__init__()
        self.phi, self.rho = L.Dense(8, "relu"), L.Dense(2)

    def call(self, tracks: Any, mask_of_tracks: Any, training: bool = False) -> Any:
        weight = keras.ops.cast(mask_of_tracks, "float32")[..., None]
        summed = keras.ops.sum(self.phi(tracks) * weight, axis=1)
        return {"flavour": keras.ops.softmax(self.rho(summed)), "count": keras.ops.sum(weight, axis=(1, 2))}


def deep_sets() -> Any:
    model = DeepSets()
    model(tracks=np.zeros((1, 5, 3), "float32"), mask_of_tracks=np.ones((1, 5), bool))
    return seeded(model)


class OneInput(keras.Model):
    """Subclassed, one input, a while loop inside."""

    def __init__(self) -> None:
        super().__init__()
        self.step = L.Dense(4, "tanh")

    def call(self, x: Any) -> Any:
        return keras.ops.fori_loop(0, 3, lambda _, state: self.step(state), x)


def subclassed_loop() -> Any:
    model = OneInput()
    model(np.zeros((1, 4), "float32"))
    return seeded(model)


class KeyedInput(keras.Model):
    """Subclassed, one argument that is a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = L.Dense(3)

    def call(self, features: Any) -> Any:
        return self.dense(features["pt"]) + self.dense(features["eta"])


def keyed_input() -> Any:
    model = KeyedInput()
    model({"pt": np.zeros((1, 2), "float32"), "eta": np.zeros((1, 2), "float32")})
    return seeded(model)


class Branching(keras.Model):
    """A Python ``if`` on data: it cannot be part of a graph."""

    def call(self, x: Any) -> Any:
        if keras.ops.sum(x) > 0:
            return x * 2
        return x


class Neighbours(L.Layer):
    """Messages from the k nearest neighbours by dense distances, as GravNet sends them."""

    def call(self, x: Any) -> Any:
        ops = keras.ops
        distance = ops.sum(ops.square(x[:, :, None, :3] - x[:, None, :, :3]), axis=-1)
        near, index = ops.top_k(-distance, 4)
        taken = ops.take_along_axis(x[:, None, :, :], index[..., None], axis=2)
        weighted = taken * ops.exp(10 * near)[..., None]
        return ops.concatenate([ops.mean(weighted, axis=2), ops.max(weighted, axis=2)], axis=-1)


def gravnet_like() -> Any:
    hits = keras.Input((None, 5), name="hits")
    x = Neighbours()(L.Dense(6)(hits))
    return seeded(keras.Model(hits, L.Dense(2, name="beta")(x)))


def text_vectorization() -> Any:
    text = keras.Input((1,), dtype="string", name="text")
    return keras.Model(text, L.TextVectorization(vocabulary=["muon", "jet"], output_sequence_length=4)(text))


def preprocessing() -> Any:
    """Normalisation with means and variances, categories, crossed into one-hot."""
    x, kind = keras.Input((3,), name="x"), keras.Input((1,), dtype="int32", name="kind")
    scaled = L.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0])(x)
    hot = L.CategoryEncoding(num_tokens=5, output_mode="one_hot")(kind)
    return seeded(keras.Model([x, kind], L.Dense(2, name="y")(L.Concatenate()([scaled, hot]))))


def group_normalisation() -> Any:
    x = image = keras.Input((8, 8, 4), name="image")
    x = L.GroupNormalization(2)(L.Conv2D(4, 3, activation="silu")(x))
    x = L.Conv2D(4, 3, activation="mish")(L.ZeroPadding2D(1)(L.SpatialDropout2D(0.2)(x)))
    x = L.Reshape((-1, 4))(L.Cropping2D(1)(x))
    return seeded(keras.Model(image, L.Dense(2, "softplus", name="y")(L.Flatten()(L.UnitNormalization()(x)))))


def convolutional_lstm() -> Any:
    frames = keras.Input((4, 6, 6, 2), name="frames")
    x = L.ConvLSTM2D(3, 3, return_sequences=False)(frames)
    return seeded(keras.Model(frames, L.Dense(2, name="y")(L.Flatten()(x))))


def convolution_3d() -> Any:
    """A calorimeter image."""
    cells = keras.Input((6, 6, 6, 1), name="cells")
    x = L.MaxPooling3D()(L.Conv3D(4, 3, padding="same", activation="leaky_relu")(cells))
    x = L.AveragePooling3D(2)(L.Conv3D(4, 2, activation="softsign")(x))
    return seeded(keras.Model(cells, L.Dense(1, name="energy")(L.Flatten()(x))))


def autoencoder() -> Any:
    image = keras.Input((8, 8, 1), name="image")
    x = L.Conv2D(4, 3, strides=2, padding="same", activation="gelu")(image)
    x = L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="swish")(x)
    x = L.AveragePooling2D(2)(L.UpSampling2D(2, interpolation="bilinear")(x))
    return seeded(keras.Model(image, L.Conv2D(1, 3, padding="same", name="again")(x)))


def masked_attention() -> Any:
    """Padded jets: constituents that are not valid get no attention and do not count in the mean."""
    jets, valid = keras.Input((None, 3), name="jets"), keras.Input((None,), dtype="bool", name="valid")
    x = L.Dense(8)(jets)
    x = L.MultiHeadAttention(2, 4)(x, x, attention_mask=keras.ops.expand_dims(valid, 1))
    weight = keras.ops.expand_dims(keras.ops.cast(valid, "float32"), -1)
    mean = keras.ops.sum(x * weight, axis=1) / keras.ops.sum(weight, axis=1)
    return seeded(keras.Model([jets, valid], L.Dense(2, name="tag")(mean)))


def simple_recurrent() -> Any:
    x = keras.Input((5, 3), name="x")
    y = L.SimpleRNN(4, return_sequences=True, go_backwards=True)(x)
    y = L.RNN([L.LSTMCell(4), L.GRUCell(3)])(y)
    return seeded(keras.Model(x, L.Dense(1, name="y")(y)))
