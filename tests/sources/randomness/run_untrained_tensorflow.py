"""Runs in a process of its own: opens factories of Keras and TensorFlow, and prints what is said of their parameters as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from portinf.sources.detect import Factory, Found
from portinf.sources.model import Declared, SourceOptions
from portinf.sources.process.child import Session

START = """
import keras, numpy as np, tensorflow as tf
from keras import layers
SPEC = [tf.TensorSpec([None, 4], tf.float32, name='x')]

def sequential(*more, **told):
    return keras.Sequential([layers.Input((4,), name='x'), layers.Dense(2, **told), *more])

class Late(keras.Model):
    def __init__(self): super().__init__(); self.dense = layers.Dense(2)
    def call(self, x): return self.dense(x)

class Shifted(layers.Layer):
    def __init__(self, shift): super().__init__(); self.shift = shift
    def call(self, x): return x + self.shift

def shifted(shift):
    given = layers.Input((4,))
    return keras.Model(given, Shifted(shift)(given))

class Linear(tf.Module):
    def __init__(self, make): super().__init__(); self.make, self.w = make, None; self.prepare()
    def prepare(self): self.w = self.make()
    @tf.function(input_signature=SPEC)
    def __call__(self, x): return x @ self.w

class LateLinear(Linear):
    def prepare(self): pass
    @tf.function(input_signature=SPEC)
    def __call__(self, x):
        if self.w is None: self.w = self.make()
        return x @ self.w
"""
RANDOM = {
    "sequential": "def build(): return sequential()",
    "functional": "def build():\n x = layers.Input((4,)); return keras.Model(x, layers.Dense(2)(layers.Dropout(0.3)(layers.Dense(3)(x))))",
    "built late": "build = Late",
    "numpy attribute": "def build(): return shifted(np.random.normal(size=4).astype('float32'))",
    "tensor": "def build(): return shifted(tf.random.normal([4]))",
    "module": "def build(): return Linear(lambda: tf.Variable(tf.random.normal([4, 2])))",
    "module, tensor": "def build(): return Linear(lambda: tf.random.normal([4, 2]))",
    "module, late": "def build(): return LateLinear(lambda: tf.Variable(tf.random.normal([4, 2])))",
    "function": "def build():\n w = tf.Variable(tf.random.normal([4, 2])); return tf.function(lambda x: x @ w, autograph=False)",
    "constant": "def build(): return tf.function(lambda x: x + np.random.normal(size=4), input_signature=SPEC, autograph=False)",
}
HONEST = {
    "seed": "def build(): keras.utils.set_random_seed(0); return sequential(layers.Dropout(0.3))",
    "seed of the file": "keras.utils.set_random_seed(0)\ndef build(): return sequential(layers.Dropout(0.3))",
    "seeded initializer": "def build(): return sequential(kernel_initializer=keras.initializers.GlorotUniform(seed=3))",
    "filled": "def build(): return sequential(layers.Dropout(0.3), kernel_initializer='ones')",
    "built late": "def build(): keras.utils.set_random_seed(1); return Late()",
    "cleared": "def build(): keras.backend.clear_session(); keras.utils.set_random_seed(0); return sequential()",
    "module": "def build(): tf.random.set_seed(1); return Linear(lambda: tf.Variable(tf.random.normal([4, 2])))",
    "module, seed of the file": "tf.random.set_seed(1)\ndef build(): return Linear(lambda: tf.Variable(tf.random.normal([4, 2])))",
    "function": "def build():\n w = tf.constant(np.ones((4, 2), 'float32')); return tf.function(lambda x: x @ w, input_signature=SPEC)",
}


def opened(file: Path, text: str, weights: Path | None = None) -> Session:
    file.write_text(START + text)
    found = Found(format="factory", path=file, factory=Factory(file=file, name="build"))
    session = Session(SourceOptions(found=found, weights=weights, samples=[Declared(name="x", dtype="float32", shape=(5, 4))]))
    declared = session.describe()["inputs"]
    session.infer({declared[0]["name"] if declared else "x": np.ones((5, 4), np.float32)})
    return session


def weighted(folder: Path) -> list[list[str]]:
    """Return what is said where weights are given, of a model that they hold, and of one that keeps a random array beside them."""
    texts = [RANDOM["sequential"], "def build(): return sequential(Shifted(np.random.normal(size=2).astype('float32')))"]
    found = []
    for number, text in enumerate(texts):
        file = folder / f"weighted_{number}.py"
        opened(file, text)._source.model.save_weights(folder / "w.weights.h5")
        found.append(opened(file, text, folder / "w.weights.h5").notes)
    return found


folder = Path(sys.argv[1])
print(
    json.dumps(
        {
            **{
                kind: {
                    name: opened(folder / f"{kind}_{number}.py", text).notes
                    for number, (name, text) in enumerate(texts.items())
                }
                for kind, texts in (("random", RANDOM), ("honest", HONEST))
            },
            "weighted": weighted(folder),
        }
    )
)
