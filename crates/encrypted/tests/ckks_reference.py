"""Known answers of CKKS, from integers of any size and the formulas themselves, without residues and transforms.

    python3 crates/encrypted/tests/ckks_reference.py

prints the constants of crates/encrypted/src/ckks/known.rs: degree 16, a base prime of 55 bits, two of 38.
"""

import cmath

N, SCALE = 16, 2**38
CHAIN = []


def is_prime(n):
    """Miller and Rabin with bases that decide for all numbers below 3.3e24."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in bases:
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


def primes(bits, count):
    """The largest below 2^bits that are 1 modulo 2N."""
    candidate = 2**bits // (2 * N) * (2 * N) + 1
    while count:
        candidate -= 2 * N
        if is_prime(candidate):
            count -= 1
            yield candidate


def root(j, k):
    """The value of X^k at slot j: zeta^(5^j * k), zeta = exp(pi*i/N)."""
    return cmath.exp(1j * cmath.pi / N * (pow(5, j, 2 * N) * k % (2 * N)))


def encode(slots):
    """Coefficients of the real polynomial with these slots, times the scale, rounded."""
    value = lambda k: 2 / N * sum((z * root(j, k).conjugate()).real for j, z in enumerate(slots))
    return [round(SCALE * value(k)) for k in range(N)]


def decode(coefficients, scale):
    return [sum(c / scale * root(j, k) for k, c in enumerate(coefficients)) for j in range(N // 2)]


def product(x, y):
    """Modulo X^N + 1."""
    out = [0] * N
    for i, a in enumerate(x):
        for k, b in enumerate(y):
            out[(i + k) % N] += a * b if i + k < N else -a * b
    return out


def automorphism(x, element):
    out = [0] * N
    for k, a in enumerate(x):
        place = k * element % (2 * N)
        out[place % N] += a if place < N else -a
    return out


def centred(x, modulus):
    x %= modulus
    return x - modulus if x > modulus // 2 else x


def rescaled(x, last):
    """(x - [x]_last) / last, with the representative around 0."""
    return [(a - centred(a, last)) // last for a in x]


def drawn(seed, bound):
    """Numbers from a linear congruential generator (Knuth's MMIX)."""
    state, out = seed, []
    for _ in range(N):
        state = (6364136223846793005 * state + 1442695040888963407) % 2**64
        out.append(state % bound)
    return out


CHAIN = [*primes(55, 1), *primes(38, 2)]
slots = [complex(j / 4 - 1, (3 - j) / 8) for j in range(N // 2)]
secret = [x % 3 - 1 for x in drawn(1, 2**32)]
all_primes = CHAIN[0] * CHAIN[1] * CHAIN[2]
linear = [int(a) * int(b) * int(c) % all_primes for a, b, c in zip(drawn(2, 2**60), drawn(3, 2**60), drawn(4, 2**60))]
message = encode(slots)
constant = [(m - x) % all_primes for m, x in zip(message, product(linear, secret))]

print("CHAIN", CHAIN)
print("MESSAGE", message)
lower = [rescaled([centred(a * 1000003, all_primes) for a in part], CHAIN[2]) for part in (constant, linear)]
phase = [centred(b + x, CHAIN[0] * CHAIN[1]) for b, x in zip(lower[0], product(lower[1], secret))]
print("RESCALED", [a % CHAIN[0] for a in lower[0]])
print("PHASE", phase)
turned = [automorphism(part, 5) for part in (constant, linear)]
back = [centred(b + x, all_primes) for b, x in zip(turned[0], product(turned[1], automorphism(secret, 5)))]
print("TURNED", [a % CHAIN[1] for a in turned[0]])
print("ROTATED", [f"({z.real:.9f}, {z.imag:.9f})" for z in decode(back, SCALE)])
square = [product(constant, constant), [2 * a for a in product(constant, linear)], product(linear, linear)]
print("SQUARE", [[a % CHAIN[0] for a in part] for part in square])
