"""Click models in NumPy, written from the papers and from what leat's documents say of sizes, first
values and optimisers; no line is leat's. One id a field, chronological, one task.

    fm       b + sum w + sum_f h_f/2 ((sum v)^2 - sum v^2), a step an example   (Rendle 2010)
    deepfm   b + sum w + FM's pairs + multi-layer perceptron, a step a batch    (Guo et al. 2017)
    dcn      b + sum w + linear(cross layers | perceptron), a step a batch      (Wang et al. 2021)

A batch's gradient is the sum over its examples. A row that no example of the batch has is not
touched, and neither are its moments: lazy Adam, whose bias correction counts the model's steps.
AdaGrad's sums start at ADAGRAD_FIRST; those of FM's dense weights fade by FM_FADE at each example.
"""
import csv

import numpy as np

ADAGRAD_FIRST = {"w": 1.0, "v": 0.1, "dense": 1.0}
FM_FADE = 0.99999


def read_rows(path, fields, share):
    """Columns `fields` as numbers of their own (unseen ones included), labels, and how many rows
    come first: those of the first `share` of the rows."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    seen = {}
    ids = np.empty((len(rows), len(fields)), np.int64)
    for i, row in enumerate(rows):
        for f, name in enumerate(fields):
            ids[i, f] = seen.setdefault((f, row[name]), len(seen))
    labels = np.array([float(row["label"]) for row in rows], np.float32)
    return ids, labels, len(seen), int(len(rows) * share)


def auc(labels, scores):
    """Mann-Whitney, ties half."""
    order = np.argsort(scores, kind="mergesort")
    ordered = scores[order]
    first = np.searchsorted(ordered, ordered, "left")
    last = np.searchsorted(ordered, ordered, "right")
    ranks = (first + last + 1) / 2
    positives = labels[order] > 0.5
    p, n = positives.sum(), (~positives).sum()
    return (ranks[positives].sum() - p * (p + 1) / 2) / (p * n)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Parameter:
    """A dense array and its optimiser."""

    def __init__(self, value, how, rate, decay=0.0, fade=1.0):
        self.value = value.astype(np.float32)
        self.how, self.rate, self.decay, self.fade = how, rate, decay, fade
        self.n = np.full_like(self.value, ADAGRAD_FIRST["dense"] if how == "adagrad" else 0)
        self.m = np.zeros_like(self.value)
        self.steps = 0

    def step(self, gradient):
        if self.decay:
            self.value -= self.rate * self.decay * self.value
        if self.how == "adagrad":
            self.n = self.n * self.fade + gradient * gradient
            self.value -= self.rate * gradient / np.sqrt(self.n)
            return
        self.steps += 1
        self.m += (gradient - self.m) * 0.1
        self.n += (gradient * gradient - self.n) * 0.001
        m = self.m / (1 - 0.9 ** self.steps)
        n = self.n / (1 - 0.999 ** self.steps)
        self.value -= self.rate * m / (np.sqrt(n) + 1e-8)


class Table:
    """Rows of `width` floats; only those that a batch names move."""

    def __init__(self, value, how, rate, l2, first):
        self.value = value.astype(np.float32)
        self.how, self.rate, self.l2 = how, rate, l2
        self.n = np.full_like(self.value, first if how == "adagrad" else 0)
        self.m = np.zeros_like(self.value)
        self.steps = 0

    def step(self, rows, gradient):
        """`rows` [n], each once; `gradient` [n, width]."""
        value = self.value[rows]
        gradient = gradient + self.l2 * value
        if self.how == "adagrad":
            self.n[rows] += gradient * gradient
            self.value[rows] = value - self.rate * gradient / np.sqrt(self.n[rows])
            return
        self.steps += 1
        m = self.m[rows] = self.m[rows] * 0.9 + gradient * 0.1
        n = self.n[rows] = self.n[rows] * 0.999 + gradient * gradient * 0.001
        m = m / (1 - 0.9 ** self.steps)
        n = n / (1 - 0.999 ** self.steps)
        self.value[rows] = value - self.rate * m / (np.sqrt(n) + 1e-8)


class Layers:
    """A perceptron with ReLU between; `out` 0: the last hidden layer is what comes out."""

    def __init__(self, rng, width, hidden, out, make):
        self.weights, self.biases = [], []
        self.relu = []
        for i, size in enumerate(list(hidden) + ([out] if out else [])):
            relu = i < len(hidden)
            limit = np.sqrt(6 / width) if relu else np.sqrt(6 / (width + size))
            self.weights.append(make(rng.uniform(-limit, limit, (width, size)), True))
            self.biases.append(make(np.zeros(size), False))
            self.relu.append(relu)
            width = size
        self.width = width

    def forward(self, x):
        self.inputs = []
        for weight, bias, relu in zip(self.weights, self.biases, self.relu):
            self.inputs.append(x)
            x = x @ weight.value + bias.value
            if relu:
                x = np.maximum(x, 0)
        self.inputs.append(x)
        return x

    def backward(self, g):
        """Gradients of the input; the parameters' wait in `moves`."""
        moves = []
        for i in range(len(self.weights) - 1, -1, -1):
            if self.relu[i]:
                g = g * (self.inputs[i + 1] > 0)
            moves.append((self.weights[i], self.inputs[i].T @ g))
            moves.append((self.biases[i], g.sum(0)))
            g = g @ self.weights[i].value.T
        return g, moves


class Model:
    def __init__(self, kind, fields, ids, dimension=8, hidden=(64, 32), cross=2,
                 optimiser="adagrad", rate=0.05, rate_dense=0.05, l2=0.0, decay=0.0, spread=0.05,
                 batch=64, seed=1):
        rng = np.random.default_rng(seed)
        self.kind, self.k, self.batch = kind, dimension, 1 if kind == "fm" else batch
        self.w = Table(np.zeros((ids, 1)), optimiser, rate, 0, ADAGRAD_FIRST["w"])
        self.v = Table(rng.uniform(-spread, spread, (ids, dimension)), optimiser, rate, l2,
                       ADAGRAD_FIRST["v"])
        width = fields * dimension
        fade = FM_FADE if kind == "fm" else 1.0

        def make(value, matrix):
            return Parameter(value, optimiser, rate_dense, decay if matrix else 0, fade)
        self.bias = make(np.zeros(1), False)
        self.h = make(np.ones(dimension), False)
        if kind == "deepfm":
            self.deep = Layers(rng, width, hidden, 1, make)
        if kind == "dcn":
            self.deep = Layers(rng, width, hidden, 0, make)
            limit = np.sqrt(3 / width)
            self.cross = [(make(rng.uniform(-limit, limit, (width, width)), True),
                           make(np.zeros(width), False)) for _ in range(cross)]
            total = width + self.deep.width
            limit = np.sqrt(6 / (total + 1))
            self.top = make(rng.uniform(-limit, limit, (total, 1)), True)

    def forward(self, ids):
        self.ids = ids
        self.e = self.v.value[ids]
        z = self.bias.value[0] + self.w.value[ids, 0].sum(1)
        x = self.e.reshape(len(ids), -1)
        if self.kind in ("fm", "deepfm"):
            self.sums = self.e.sum(1)
            self.pairs = (self.sums ** 2 - (self.e ** 2).sum(1)) / 2
            z = z + (self.pairs @ self.h.value if self.kind == "fm" else self.pairs.sum(1))
        if self.kind == "deepfm":
            z = z + self.deep.forward(x)[:, 0]
        if self.kind == "dcn":
            self.states, self.products = [x], []
            for weight, bias in self.cross:
                product = self.states[-1] @ weight.value + bias.value
                self.products.append(product)
                self.states.append(x * product + self.states[-1])
            self.both = np.concatenate([self.states[-1], self.deep.forward(x)], 1)
            z = z + (self.both @ self.top.value)[:, 0]
        return z

    def backward_dcn(self, g):
        x = self.states[0]
        moves = [(self.top, self.both.T @ g[:, None])]
        top = g[:, None] * self.top.value[:, 0]
        width = x.shape[1]
        gx, deep_moves = self.deep.backward(top[:, width:])
        moves += deep_moves
        gs = top[:, :width]
        for i in range(len(self.cross) - 1, -1, -1):
            weight, bias = self.cross[i]
            gp = gs * x
            gx = gx + gs * self.products[i]
            moves += [(weight, self.states[i].T @ gp), (bias, gp.sum(0))]
            gs = gs + gp @ weight.value.T
        return gx + gs, moves

    def learn(self, ids, labels):
        g = (sigmoid(self.forward(ids)) - labels).astype(np.float32)
        moves = [(self.bias, np.array([g.sum()], np.float32))]
        ge = np.zeros_like(self.e)
        if self.kind in ("fm", "deepfm"):
            slope = (self.sums[:, None, :] - self.e) * g[:, None, None]
            ge += slope * self.h.value if self.kind == "fm" else slope
        if self.kind == "fm":
            moves.append((self.h, g @ self.pairs))
        if self.kind == "deepfm":
            gx, more = self.deep.backward(g[:, None])
            moves += more
            ge += gx.reshape(ge.shape)
        if self.kind == "dcn":
            gx, more = self.backward_dcn(g)
            moves += more
            ge += gx.reshape(ge.shape)
        self.step_rows(ids, g, ge)
        for parameter, gradient in moves:
            parameter.step(gradient)

    def step_rows(self, ids, g, ge):
        rows, places = np.unique(ids.ravel(), return_inverse=True)
        gw = np.zeros((len(rows), 1), np.float32)
        gv = np.zeros((len(rows), self.k), np.float32)
        np.add.at(gw[:, 0], places.ravel(), np.repeat(g, ids.shape[1]))
        np.add.at(gv, places.ravel(), ge.reshape(-1, self.k))
        self.w.step(rows, gw)
        self.v.step(rows, gv)

    def fit(self, ids, labels):
        """One pass, in order."""
        for begin in range(0, len(ids), self.batch):
            end = begin + self.batch
            self.learn(ids[begin:end], labels[begin:end])

    def predict(self, ids):
        return np.concatenate([self.forward(ids[i:i + 4096]) for i in range(0, len(ids), 4096)])
