"""One network on 8192 encrypted images with TenSEAL: seconds a layer, and 16 answers held against plain integers.

    python tenseal_layers.py [--member MEMBER.json] [--bits 20] [--processes 2]

MEMBER.json is a network that `cleave quantise` wrote; without it weights are drawn. Images are drawn in both cases.
Scores come out modulo one prime. One of 24 bits was too large for the noise that TenSEAL leaves room for at this degree, so
that larger scores take several primes of 20 bits, and as many times as long.
TenSEAL (BFV of SEAL) multiplies a ciphertext with an integer in 0.2 ms where all slots have the same one, and leaves
out weights of zero. Its Python binding works with one thread at a time, so processes share the work: each has half of the
positions of the convolution, squares them, and adds them to sums of its own for all hidden units.
"""

import argparse
import json
import multiprocessing
import random
import time

import tenseal as ts

DEGREE = 8192
HEIGHT = WIDTH = 28
PIXELS = HEIGHT * WIDTH


def is_prime(n):
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):  # enough below 2^64
        x = pow(base, odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def batching_prime(bits):
    """The largest prime of so many bits with a root of unity of order 2 * DEGREE."""
    n = (1 << bits) - (2 * DEGREE - 1)
    while not is_prime(n):
        n -= 2 * DEGREE
    return n


def drawn(rng):
    """Weights as small as fit one prime of 45 bits, of the shape of Xiong et al. (Table 1)."""
    layer = lambda weights, biases, bound: {
        "weights": [rng.randint(-bound, bound) for _ in range(weights)],
        "biases": [str(rng.randint(-9, 9)) for _ in range(biases)],
    }
    shape = {"height": 28, "width": 28, "kernel": 5, "stride": 2, "padding": 1, "maps": 5, "hidden": 100, "classes": 10}
    layers = [layer(125, 5, 3), layer(84500, 100, 1), layer(1000, 10, 1)]
    return {"shape": shape, "max_pixel": 15, "layers": layers}


def taps(shape, row, column):
    """Places in the kernel and pixels under it."""
    for y in range(shape["kernel"]):
        for x in range(shape["kernel"]):
            r, c = row * shape["stride"] + y - shape["padding"], column * shape["stride"] + x - shape["padding"]
            if 0 <= r < HEIGHT and 0 <= c < WIDTH:
                yield y * shape["kernel"] + x, r * WIDTH + c


def features(network):
    """Rows of (weight, pixel) and the bias of each value behind the convolution, channels first."""
    shape, layer = network["shape"], network["layers"][0]
    side = (HEIGHT + 2 * shape["padding"] - shape["kernel"]) // shape["stride"] + 1
    size = shape["kernel"] ** 2
    for m in range(shape["maps"]):
        kernel = layer["weights"][m * size : (m + 1) * size]
        for row in range(side):
            for column in range(side):
                terms = [(kernel[k], pixel) for k, pixel in taps(shape, row, column)]
                yield terms, int(layer["biases"][m])


def plain(network, image):
    """The same in integers, without encryption."""
    x = [sum(w * image[p] for w, p in terms) + bias for terms, bias in features(network)]
    for layer in network["layers"][1:]:
        x = [v * v for v in x]
        rows = [layer["weights"][i * len(x) : (i + 1) * len(x)] for i in range(len(layer["biases"]))]
        x = [sum(w * v for w, v in zip(row, x)) + int(bias) for row, bias in zip(rows, layer["biases"])]
    return x


def weighted(terms, total=None):
    """The sum of weight * ciphertext, where a weight is not zero."""
    for weight, cipher in terms:
        if weight == 0:
            continue
        product = cipher * weight
        if total is None:
            total = product
        else:
            total.add_(product)
    return total


def share(part, parts):
    """One process's part of convolution, first square and first dense layer."""
    network, pixels, modulus = STATE
    mine = [row for index, row in enumerate(features(network)) if index % parts == part]
    chosen = range(part, len(mine) * parts, parts)
    start = time.perf_counter()
    values = []
    for terms, bias in mine:
        value = weighted((weight, pixels[pixel]) for weight, pixel in terms)
        values.append(value + [bias % modulus] * DEGREE)
    convolution = time.perf_counter()
    values = [value * value for value in values]
    square = time.perf_counter()
    weights, units = network["layers"][1]["weights"], len(network["layers"][1]["biases"])
    width = len(weights) // units
    sums = [weighted(zip((weights[unit * width + index] for index in chosen), values)) for unit in range(units)]
    dense = time.perf_counter()
    sent = [value.serialize() for value in sums]
    return sent, (convolution - start, square - convolution, dense - square)


def main():
    global STATE
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--member")
    options.add_argument("--bits", type=int, default=20, help="of the plaintext prime")
    options.add_argument("--processes", type=int, default=2)
    options = options.parse_args()
    rng = random.Random(1)
    network = json.load(open(options.member)) if options.member else drawn(rng)
    modulus = batching_prime(options.bits)
    images = [[rng.randint(0, network["max_pixel"]) for _ in range(PIXELS)] for _ in range(DEGREE)]
    context = ts.context(ts.SCHEME_TYPE.BFV, poly_modulus_degree=DEGREE, plain_modulus=modulus, n_threads=1)
    context.generate_relin_keys()

    seconds, begun = {}, time.perf_counter()
    pixels = [ts.bfv_vector(context, [image[p] for image in images]) for p in range(PIXELS)]
    seconds["encrypt"] = time.perf_counter() - begun
    STATE = (network, pixels, modulus)

    begun = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(options.processes) as pool:
        parts = pool.starmap(share, [(part, options.processes) for part in range(options.processes)])
    for place, layer in enumerate(("convolution", "square", "dense 100")):
        seconds[layer] = max(times[place] for _, times in parts)
    hidden = network["layers"][1]["biases"]
    sums = [ts.bfv_vector_from(context, sent) for sent in parts[0][0]]
    for others, _ in parts[1:]:
        for value, sent in zip(sums, others):
            value.add_(ts.bfv_vector_from(context, sent))
    sums = [value + [int(bias) % modulus] * DEGREE for value, bias in zip(sums, hidden)]
    joined = time.perf_counter() - begun
    seconds["dense 100"] += joined - sum(seconds[layer] for layer in ("convolution", "square", "dense 100"))

    begun = time.perf_counter()
    sums = [value * value for value in sums]
    seconds["second square"] = time.perf_counter() - begun
    begun = time.perf_counter()
    layer, width = network["layers"][2], len(sums)
    rows = [layer["weights"][i * width : (i + 1) * width] for i in range(len(layer["biases"]))]
    scores = [weighted(zip(row, sums)) + [int(b) % modulus] * DEGREE for row, b in zip(rows, layer["biases"])]
    seconds["dense 10"] = time.perf_counter() - begun
    begun = time.perf_counter()
    opened = [score.decrypt() for score in scores]
    seconds["decrypt"] = time.perf_counter() - begun

    wrong = 0
    for image in range(0, DEGREE, 512):
        expected = [(x + modulus // 2) % modulus - modulus // 2 for x in plain(network, images[image])]
        got = [(row[image] + modulus // 2) % modulus - modulus // 2 for row in opened]
        wrong += got != expected
    print(f"TenSEAL {ts.__version__}, t of {options.bits} bits, {options.processes} processes")
    for layer, value in seconds.items():
        print(f"  {layer:14}{value:8.2f} s")
    print(f"  {'sum':14}{sum(seconds.values()):8.2f} s")
    print(f"  16 images held against plain integers: {wrong} differ")
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
