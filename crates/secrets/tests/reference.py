"""Prints vectors.json: what cleave-secrets must give, computed without it.

Written from the documentation of the crate alone, on Python's `cryptography` (48 was used):

    python3 reference.py > vectors.json

The vectors hold for ever: keys and files made with one version must work with the next.
"""

import base64
import hashlib
import hmac
import json
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id


def framed(*parts):
    return b"".join(struct.pack("<Q", len(part)) + part for part in parts)


def key_id(secret):
    return hashlib.sha256(b"cleave key id v1" + secret).digest()[:16]


def chacha20(key, counter_and_nonce, length):
    return Cipher(algorithms.ChaCha20(key, counter_and_nonce), None).encryptor().update(bytes(length))


class Stream:
    def __init__(self, secret, purpose, numbers):
        info = framed(b"cleave stream v1", purpose.encode(), *(struct.pack("<Q", number) for number in numbers))
        key = hmac.new(secret, info + b"\x01", hashlib.sha256).digest()
        self.bytes, self.at = chacha20(key, bytes(16), 1 << 20), 0

    def word(self):
        self.at += 4
        return struct.unpack("<I", self.bytes[self.at - 4 : self.at])[0]

    def fill(self, length):
        words = b"".join(struct.pack("<I", self.word()) for _ in range(-(-length // 4)))
        return words[:length]

    def below(self, bound):
        while (word := self.word()) >= 2**32 // bound * bound:
            pass
        return word % bound

    def permutation(self, length):
        order = list(range(length))
        for i in range(length - 1, 0, -1):
            j = self.below(i + 1)
            order[i], order[j] = order[j], order[i]
        return order

    def balanced_signs(self, length):
        return [place < length // 2 for place in self.permutation(length)]


def stream_vector(secret, purpose, numbers):
    def fresh():
        return Stream(secret, purpose, numbers)

    words, mixed, drawn, orders, signs = fresh(), fresh(), fresh(), fresh(), fresh()
    return {
        "secret": secret.hex(),
        "id": key_id(secret).hex(),
        "purpose": purpose,
        "numbers": numbers,
        "words": [words.word() for _ in range(20)],
        "mebibyte_sha256": hashlib.sha256(fresh().bytes).hexdigest(),
        "five_bytes": mixed.fill(5).hex(),
        "word_after_five_bytes": mixed.word(),
        "below": [[bound, drawn.below(bound)] for bound in [1, 2, 3, 10, 1000003, 3 << 30, 2**31 + 1, 2**32 - 1] * 3],
        "permutations": [orders.permutation(length) for length in [0, 1, 2, 10, 100]],
        "signs": [signs.balanced_signs(length) for length in [0, 1, 2, 9, 100]],
    }


def hchacha20(key, nonce):
    start = struct.unpack("<16I", b"expand 32-byte k" + key + nonce)
    end = struct.unpack("<16I", chacha20(key, nonce, 64))
    rounds = [(e - s) % 2**32 for s, e in zip(start, end)]
    return struct.pack("<8I", *rounds[:4], *rounds[12:])


def key_file(purpose, key, protection, payload):
    named = {"key": key.hex()} if key else {}
    head = {"format": "cleave key file", "version": 1, "purpose": purpose}
    text = head | named | {"protection": protection, "payload": base64.b64encode(payload).decode()}
    return json.dumps(text, indent=2) + "\n"


def header(purpose, key, method, *more):
    return framed(b"cleave key file", struct.pack("<I", 1), purpose.encode(), key, method.encode(), *more)


def sealed_vector(payload, key, purpose, passphrase, cost, salt, nonce):
    memory, passes, lanes = cost
    kdf = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
    method = "argon2id-xchacha20poly1305"
    bound = header(purpose, key, method, *(struct.pack("<I", number) for number in cost), salt, nonce)
    inner = ChaCha20Poly1305(hchacha20(kdf.derive(passphrase.encode()), nonce[:16]))
    costs = dict(zip(["memory_kib", "passes", "lanes"], cost))
    protection = {method: {"cost": costs, "salt": salt.hex(), "nonce": nonce.hex()}}
    text = key_file(purpose, key, protection, inner.encrypt(bytes(4) + nonce[16:], payload, bound))
    return file_vector(payload, key, purpose, text) | {"passphrase": passphrase} | costs


def clear_vector(payload, key, purpose):
    checksum = hashlib.sha256(header(purpose, key, "none") + payload).hexdigest()
    note = "NOT SEALED: whoever can read this file has the secret"
    text = key_file(purpose, key, {"none": {"note": note, "checksum": checksum}}, payload)
    return file_vector(payload, key, purpose, text)


def file_vector(payload, key, purpose, text):
    return {"payload": payload.hex(), "key": key.hex() if key else None, "purpose": purpose, "text": text}


COUNTING, ZEROS, ONES = bytes(range(32)), bytes(32), b"\xff" * 32
SALT, NONCE = bytes(range(16)), bytes(range(100, 124))
DEFAULT_COST = (65536, 3, 4)
VECTORS = {
    "streams": [
        stream_vector(COUNTING, "test", []),
        stream_vector(COUNTING, "test", [0]),
        stream_vector(COUNTING, "keyed image/permutation", [1, 2**64 - 1]),
        stream_vector(ZEROS, "", []),
        stream_vector(ONES, "Schlüssel", [7]),
    ],
    "files": [
        sealed_vector(COUNTING, key_id(COUNTING), "test", "correct horse", (64, 2, 2), SALT, NONCE),
        sealed_vector(b"any bytes", b"", "a/b_c-d.e f", "Fledermäuse", (8, 1, 1), SALT[::-1], NONCE[::-1]),
        sealed_vector(b"", b"", "empty", "x", DEFAULT_COST, SALT, NONCE),
        clear_vector(COUNTING, key_id(COUNTING), "test"),
        clear_vector(b"any bytes", b"", "test"),
    ],
}

if __name__ == "__main__":
    print("{")
    for name, vectors in VECTORS.items():
        rows = ",\n".join(json.dumps(vector) for vector in vectors)
        print(f'"{name}": [\n{rows}\n]' + ("," if name == "streams" else ""))
    print("}")
