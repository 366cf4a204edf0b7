/*
 * SHA-1 and SHA-256 (FIPS 180-4), for MAC addresses that are made of names: no keys, no secrets, at configuration only. This
 * package imports nothing, and what a browser has for it answers later.
 */

/** The message with its padding: 0x80, zeros, the length in bits; as big-endian words. */
function padded(message: Uint8Array): DataView {
  const size = (message.length + 8 + 64) & ~63
  const view = new DataView(new ArrayBuffer(size))
  new Uint8Array(view.buffer).set(message)
  view.setUint8(message.length, 0x80)
  view.setUint32(size - 8, Math.floor(message.length / 2 ** 29))
  view.setUint32(size - 4, message.length << 3)
  return view
}

function bytesOf(words: Int32Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(words.length * 4))
  for (const [i, word] of words.entries()) view.setInt32(4 * i, word)
  return new Uint8Array(view.buffer)
}

const rotl = (x: number, n: number): number => (x << n) | (x >>> (32 - n))

/** SHA-1: 20 bytes. */
export function sha1(message: Uint8Array): Uint8Array {
  const view = padded(message)
  const h = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0)
  const w = new Int32Array(80)
  for (let block = 0; block < view.byteLength; block += 64) {
    for (let t = 0; t < 16; t++) w[t] = view.getInt32(block + 4 * t)
    for (let t = 16; t < 80; t++) w[t] = rotl(w[t - 3]! ^ w[t - 8]! ^ w[t - 14]! ^ w[t - 16]!, 1)
    let [a, b, c, d, e] = h as unknown as [number, number, number, number, number]
    for (let t = 0; t < 80; t++) {
      let f = b ^ c ^ d
      let k = t < 40 ? 0x6ed9eba1 : 0xca62c1d6
      if (t < 20) {
        f = (b & c) | (~b & d)
        k = 0x5a827999
      } else if (t >= 40 && t < 60) {
        f = (b & c) | (b & d) | (c & d)
        k = 0x8f1bbcdc
      }
      const next = (rotl(a, 5) + f + e + k + w[t]!) | 0
      e = d
      d = c
      c = rotl(b, 30)
      b = a
      a = next
    }
    for (const [i, v] of [a, b, c, d, e].entries()) h[i] = h[i]! + v
  }
  return bytesOf(h)
}

/** The first 64 primes: SHA-256's constants are the fractions of their roots. */
const PRIMES: readonly number[] = (() => {
  const primes: number[] = []
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p !== 0)) primes.push(n)
  return primes
})()

/** The first 32 bits of a number's fraction. */
function fraction(x: number): number {
  return Math.floor((x - Math.floor(x)) * 2 ** 32) | 0
}

/** SHA-256: 32 bytes. */
export function sha256(message: Uint8Array): Uint8Array {
  const view = padded(message)
  const k = Int32Array.from(PRIMES, (p) => fraction(Math.cbrt(p)))
  const h = Int32Array.from(PRIMES.slice(0, 8), (p) => fraction(Math.sqrt(p)))
  const w = new Int32Array(64)
  const s = new Int32Array(8)
  for (let block = 0; block < view.byteLength; block += 64) {
    for (let t = 0; t < 16; t++) w[t] = view.getInt32(block + 4 * t)
    for (let t = 16; t < 64; t++) {
      const [x, y] = [w[t - 15] as number, w[t - 2] as number]
      const s0 = rotl(x, 25) ^ rotl(x, 14) ^ (x >>> 3)
      const s1 = rotl(y, 15) ^ rotl(y, 13) ^ (y >>> 10)
      w[t] = (w[t - 16]! + s0 + w[t - 7]! + s1) | 0
    }
    s.set(h)
    for (let t = 0; t < 64; t++) {
      const [a, b, c, , e, f, g] = s as unknown as [number, number, number, number, number, number, number]
      const big1 = rotl(e, 26) ^ rotl(e, 21) ^ rotl(e, 7)
      const t1 = (s[7]! + big1 + ((e & f) ^ (~e & g)) + k[t]! + w[t]!) | 0
      const big0 = rotl(a, 30) ^ rotl(a, 19) ^ rotl(a, 10)
      const t2 = (big0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
      s.copyWithin(1, 0, 7)
      s[4] = s[4]! + t1
      s[0] = t1 + t2
    }
    for (let i = 0; i < 8; i++) h[i] = h[i]! + s[i]!
  }
  return bytesOf(h)
}
