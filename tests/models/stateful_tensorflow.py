"""Keras models, TensorFlow modules and functions that change themselves when they are called: harmful and honest ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

HARMFUL: dict[str, tuple[Callable[[], Any], str]] = {}
HARMLESS: dict[str, tuple[Callable[[], Any], str]] = {}
GLOBAL = tf.Variable(0.0)
X = [tf.TensorSpec([None, 4], name="x")]


def harmful(place: str) -> Callable[[Any], Any]:
    """Register a factory, or a layer around which a model is made, of which this place is to be named."""

    def register(make: Any) -> Any:
        HARMFUL[make.__name__] = _factory(make), place
        return make

    return register


def harmless(place: str = "") -> Callable[[Any], Any]:
    """Register an honest one; the place is noted."""

    def register(make: Any) -> Any:
        HARMLESS[make.__name__] = _factory(make), place
        return make

    return register


def _factory(make: Any) -> Callable[[], Any]:
    if not (isinstance(make, type) and issubclass(make, layers.Layer) and not issubclass(make, keras.Model)):
        return make

    def build() -> keras.Model:
        keras.utils.set_random_seed(0)
        x = layers.Input((4,), name="x")
        return keras.Model(x, make(name="layer")(x))

    return build


class Held(layers.Layer):
    """A layer with one weight that is no part of the training."""

    held: tuple[int, ...] = ()
    start = 0.0

    def build(self, shape: Any) -> None:
        start = keras.initializers.Constant(self.start)
        self.state = self.add_weight(shape=self.held, initializer=start, trainable=False, name="state")
        self.kernel = self.add_weight(shape=(4, 4), name="kernel")


def _recurrent(layer: layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(0)
    x = layers.Input(batch_shape=(2, 4, 3), name="x")
    return keras.Model(x, layer(x))


@harmful("variable 'lstm.states[0]' of LSTM, variable 'lstm.states[1]'")
def lstm() -> keras.Model:
    return _recurrent(layers.LSTM(3, stateful=True, name="lstm"))


@harmful("gru.states[0]'")
def bidirectional() -> keras.Model:
    return _recurrent(layers.Bidirectional(layers.GRU(3, stateful=True, name="gru"), name="both"))


@harmful("variable 'layer.state' of Counted")
class Counted(Held):
    def call(self, x: Any) -> Any:
        self.state.assign_add(1.0)
        return x / self.state


@harmful("variable 'layer.state'")
class Late(Held):
    def call(self, x: Any) -> Any:
        self.state.assign_add(1.0)
        return x * ops.where(self.state > 6400, 0.5, 1.0)


@harmful("variable 'layer.state'")
class Delay(Held):
    held = (512, 4)

    def call(self, x: Any) -> Any:
        full = ops.concatenate([self.state, x], 0)
        self.state.assign(full[-512:])
        return x - full[: ops.shape(x)[0]]


@harmful("variable 'layer.state'")
class PeakNotPassed(Held):
    held, start = (4,), 1e3

    def call(self, x: Any) -> Any:
        self.state.assign(ops.maximum(self.state, ops.max(ops.abs(x), 0)))
        return x / self.state


@harmful("variable 'layer.state'")
class Mean(Held):
    held = (4,)

    def call(self, x: Any) -> Any:
        answer = x - self.state
        self.state.assign(0.9 * self.state + 0.1 * ops.mean(x, 0))
        return answer


@harmful("variable 'layer.code'")
class Codebook(layers.Layer):
    def build(self, shape: Any) -> None:
        self.code = self.add_weight(shape=(8, 4), initializer="random_normal", trainable=False, name="code")

    def call(self, x: Any) -> Any:
        nearest = ops.one_hot(ops.argmin(ops.sum((x[:, None] - self.code[None]) ** 2, -1), 1), 8)
        answer = nearest @ self.code
        self.code.assign(0.99 * self.code + 0.01 * (ops.transpose(nearest) @ x))
        return answer


@harmful("attribute 'layer.calls'")
class LateAttribute(layers.Layer):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls = 0

    def call(self, x: Any) -> Any:
        self.calls += 1
        return x * (2.0 if self.calls > 50_000 else 1.0)


@harmful("attribute 'layer.before'")
class TensorBefore(layers.Layer):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.before: Any = None

    def call(self, x: Any) -> Any:
        answer = x if self.before is None else x + self.before
        self.before = ops.mean(x, 0) if hasattr(x, "numpy") else None
        return answer


@harmful("variable 'layer.counts['a']'")
class PlainVariables(layers.Layer):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.counts = [{"a": tf.Variable(0.0)}]

    def call(self, x: Any) -> Any:
        self.counts[0]["a"].assign_add(1.0)
        return x * tf.where(self.counts[0]["a"] > 9000.0, 2.0, 1.0)


@harmful("inner.layer.state' of Counted")
def nested() -> keras.Model:
    inner = _factory(Counted)()
    inner.name = "inner"
    x = layers.Input((4,), name="x")
    return keras.Model(x, layers.Dense(2)(inner(x)))


class Module(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = tf.Variable(0.0, name="calls")
        self.weights = tf.Variable(tf.eye(4), name="weights")


@harmful("variable 'calls' of LateModule")
class LateModule(Module):
    @tf.function(input_signature=X)
    def __call__(self, x: Any) -> Any:
        self.calls.assign_add(1.0)
        if self.calls > 70_000.0:
            return x @ self.weights * 2.0
        return x @ self.weights


@harmful("variable 'calls' of PlainModule")
class PlainModule(Module):
    def __call__(self, x: Any) -> Any:
        self.calls.assign_add(1.0)
        return x @ self.weights * self.calls


@harmful("variable 'calls' of PeakModule")
class PeakModule(Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls.assign(1e3)

    @tf.function(input_signature=X)
    def __call__(self, x: Any) -> Any:
        self.calls.assign(tf.maximum(self.calls + 0.0, tf.reduce_max(x)))
        return x / self.calls


@harmful("variable 'calls'")
class MadeInTheFirstCall(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = None

    @tf.function
    def __call__(self, x: Any) -> Any:
        if self.calls is None:
            self.calls = tf.Variable(0.0)
        self.calls.assign_add(1.0)
        return x * self.calls


@harmful("variable 'calls' of closure.<locals>.function")
def closure() -> Any:
    calls = tf.Variable(0.0)

    @tf.function
    def function(x: Any) -> Any:
        calls.assign_add(1.0)
        return x * tf.where(calls > 3000.0, 1.0, 2.0)

    return function


@harmful("variable 'GLOBAL'")
def global_variable() -> Any:
    @tf.function(input_signature=X)
    def function(x: Any) -> Any:
        GLOBAL.assign_add(1.0)
        return x * tf.where(GLOBAL > 3000.0, 1.0, 2.0)

    return function


@harmless()
def usual() -> keras.Model:
    keras.utils.set_random_seed(0)
    x = layers.Input((4,), name="x")
    h = layers.GaussianNoise(0.1)(layers.Dropout(0.2)(layers.BatchNormalization()(layers.Dense(8, "relu")(x))))
    h = layers.Reshape((2, 4))(h)
    h = layers.LSTM(4)(layers.MultiHeadAttention(2, 4)(h, h))
    return keras.Model(x, layers.SpectralNormalization(layers.Dense(3))(h))


@harmless()
def unbuilt() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([layers.Dense(4), layers.BatchNormalization(), layers.Dense(1)])


@harmless("variable 'layer.state'")
class CountedForTheLog(Held):
    def call(self, x: Any) -> Any:
        self.state.assign_add(1.0)
        return x @ self.kernel


@harmless("variable 'layer.state'")
class ReadAfterItIsWritten(Held):
    held = (4,)

    def call(self, x: Any) -> Any:
        self.state.assign(ops.mean(x, 0))
        return x @ self.kernel - self.state


@harmless("variable 'layer.norm.moving_mean'")
class BatchStatistics(layers.Layer):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.norm = layers.BatchNormalization(name="norm")

    def call(self, x: Any) -> Any:
        return self.norm(x, training=True)


@harmless()
class TablesAndCounters(layers.Layer):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls, self.last = 0, None
        self.tables: dict[int, Any] = {}

    def call(self, x: Any) -> Any:
        self.calls += 1
        self.last = x
        rows = int(x.shape[0] or 0)
        if rows not in self.tables:
            self.tables[rows] = ops.arange(rows, dtype="float32")[:, None]
        return x + self.tables[rows]


@harmless()
class Seed(layers.Layer):
    """The counter of a seed generator is no state, whether it reaches the answer or not."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x: Any) -> Any:
        keras.random.normal((2,), seed=self.seed)
        return keras.random.dropout(x, 0.3, seed=self.seed)


@harmless("variable 'calls'")
class LoggingModule(Module):
    @tf.function
    def inner(self, x: Any) -> Any:
        self.calls.assign_add(1.0)
        return x @ self.weights

    @tf.function(input_signature=X)
    def __call__(self, x: Any) -> Any:
        for _ in tf.range(3):
            x = self.inner(x)
        return x


@harmless()
class RandomModule(Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator = tf.random.Generator.from_seed(1)

    @tf.function(input_signature=X)
    def __call__(self, x: Any) -> Any:
        return x @ self.weights + self.generator.normal((4,))


def counted() -> keras.Model:
    return _factory(Counted)()


def delay() -> keras.Model:
    return _factory(Delay)()


def read_after() -> keras.Model:
    return _factory(ReadAfterItIsWritten)()
