import { checksum } from '@l2l3/switch-core/wire'
import { ETH, swap } from './outer-row.ts'
import {
  ANY_VNI,
  BITS,
  type EndArrays,
  type EndRules,
  FAMILY,
  GENEVE,
  home,
  LOCAL,
  NO_TAGS,
  PORT,
  pseudoSum,
  ROW,
  Seen,
  type UnwrapRun,
  VERIFY,
  ZERO6,
} from './unwrap.ts'
import { type UnwrapRest, wasmUnwrap4 } from './wasm-runs.ts'

/*
 * The fast way out of tunnels: packets that are ours alone, whole, for the endpoint's own address and of one network lose their
 * outer headers in one loop. It takes what `unwrap` takes, and stops where that has more to think about, or would drop.
 *
 * Where each came from is written into `sources`, four words a frame, for who learns.
 */

/** Known to be right: of a checksum, nobody needs to look. */
const CHECKED = 2

/** The first word of a GENEVE header around Ethernet without options, as it is read in little-endian order. */
const PLAIN_GENEVE = 0x58650000

/** Makes the run of endpoints of VXLAN over IPv4: the same with less to ask, in WebAssembly as far as
 * that goes. */
export function makeRun4(arrays: EndArrays, rules: EndRules): UnwrapRun {
  const run = makeRest4(arrays, rules)
  return wasmUnwrap4(arrays, run) ?? ((frames, start, stop, end) => run(frames, start, stop, end, start))
}

function makeRest4({ pool, seen, rows, table, sources }: EndArrays, { ecn }: EndRules): UnwrapRest {
  const { data, off, len, flags, gsoType, refs } = pool
  const { sum } = checksum
  const wrap = table.length - 1
  return (frames, start, stop, endpoint, base) => {
    const row = endpoint * ROW
    const port = rows[row + PORT] as number
    const local = rows[row + LOCAL] as number
    const verify = ((rows[row + BITS] as number) & VERIFY) !== 0
    const mark = endpoint + 1
    let vni = start === base ? -1 : (seen[Seen.Vni] as number)
    let network = start === base ? -1 : (seen[Seen.Network] as number)
    let i = start
    for (; i < stop; i++) {
      const f = frames[i] as number
      const o = off[f] as number
      const n = len[f] as number
      if (n < 64 || ((flags[f] as number) | (gsoType[f] as number) | ((refs[f] as number) - 1)) !== 0) break
      // EtherType, version and header length: no options; flags and offset, protocol; length: nothing is behind it.
      const head = data.getInt32(o + 12, true)
      if ((head & 0xffffff) !== 0x450008 || (data.getInt32(o + 20, true) & (0xff00ff3f | 0)) !== 0x11000000) break
      if (swap(data.getUint16(o + 16, true)) !== n - ETH || data.getInt32(o + 30, true) !== local) break
      const ports = data.getInt32(o + 36, true)
      if ((ports & 0xffff) !== port || swap(ports >>> 16) !== n - 34) break
      // The flags are those of VXLAN, and what is reserved is zero.
      const key = data.getInt32(o + 46, true)
      if (data.getInt32(o + 42, true) !== 8 || key >>> 24 !== 0) break
      const source = data.getInt32(o + 26, true)
      if (verify && data.getUint16(o + 40, true) !== 0) {
        if (sum(data, o + 34, o + n, pseudoSum(source, local, n - 34)) !== 0xffff) break
      }
      let slot = home(key, endpoint, wrap + 1)
      if (table[slot] !== key || table[slot + 1] !== mark) {
        slot = (slot + 4) & wrap
        if (table[slot] !== key || table[slot + 1] !== mark) break
      }
      const of = table[slot + 2] as number
      if (of !== network) {
        if (network >= 0) break
        network = of
        vni = key
      }
      if ((head & 0x3000000) !== 0 && !ecn(o + 50, o + n, head >>> 24)) break
      sources[(i - base) << 2] = source
      off[f] = o + 50
      len[f] = n - 50
    }
    if (i === start) return i
    seen[Seen.Vni] = vni
    seen[Seen.Network] = network
    return i
  }
}

/** Makes the run of any endpoint. */
export function makeRunAny({ pool, seen, rows, known, table, sources }: EndArrays, rules: EndRules): UnwrapRun {
  const { bytes, data, off, len, flags, gsoType, refs } = pool
  const { sum, pseudo4, pseudo6 } = checksum
  const { vxlanWrong, geneveLength, ecn } = rules
  const wrap = table.length - 1

  /** Whether the UDP checksum is right. */
  const sound = (ip: number, udp: number, end: number, v6: boolean): boolean => {
    const size = end - udp
    return sum(data, udp, end, v6 ? pseudo6(bytes, ip, 17, size) : pseudo4(bytes, ip, 17, size)) === 0xffff
  }

  return (frames, start, stop, endpoint) => {
    const row = endpoint * ROW
    const bits = rows[row + BITS] as number
    const v6 = rows[row + FAMILY] === 6
    if (rows[row + FAMILY] === 0) return start
    const port = rows[row + PORT] as number
    const l0 = rows[row + LOCAL] as number
    const isGeneve = (bits & GENEVE) !== 0
    const mark = endpoint + 1
    // Header and option of the packet with one option that was taken last; at first of one that has none.
    let headBefore: number = PLAIN_GENEVE
    let optionBefore = 0
    // The VNI that was looked up last.
    let vniBefore = -1
    let network = -1
    let i = start
    for (; i < stop; i++) {
      const f = frames[i] as number
      const o = off[f] as number
      const n = len[f] as number
      const unfinished = flags[f] as number
      if (n < 64 || (unfinished & ~CHECKED) !== 0 || gsoType[f] !== 0 || refs[f] !== 1) break
      let udp: number
      let tos: number
      if (!v6) {
        // EtherType, version and header length: no options; flags and offset, protocol; length: nothing is behind it.
        const head = data.getInt32(o + 12, true)
        if ((head & 0xffffff) !== 0x450008) break
        if ((data.getInt32(o + 20, true) & (0xff00ff3f | 0)) !== 0x11000000) break
        if (swap(data.getUint16(o + 16, true)) !== n - ETH || data.getInt32(o + 30, true) !== l0) break
        tos = head >>> 24
        udp = o + 34
      } else {
        const head = data.getInt32(o + 12, true)
        if ((head & 0xf0ffff) !== 0x60dd86 || n < 84 || bytes[o + 20] !== 17) break
        if (swap(data.getUint16(o + 18, true)) !== n - 54) break
        if (data.getInt32(o + 38, true) !== l0 || data.getInt32(o + 42, true) !== rows[row + LOCAL + 1]) break
        if (data.getInt32(o + 46, true) !== rows[row + LOCAL + 2]) break
        if (data.getInt32(o + 50, true) !== rows[row + LOCAL + 3]) break
        tos = ((head >>> 12) & 0xf0) | (head >>> 28)
        udp = o + 54
      }
      const size = o + n - udp
      const ports = data.getInt32(udp + 2, true)
      if ((ports & 0xffff) !== port || swap(ports >>> 16) !== size) break
      if (data.getUint16(udp + 6, true) !== 0) {
        if ((bits & VERIFY) !== 0 && unfinished === 0 && !sound(o + ETH, udp, o + n, v6)) break
      } else if (v6 && (bits & ZERO6) === 0) break
      const first = data.getInt32(udp + 8, true)
      const word = data.getInt32(udp + 12, true)
      let inner = udp + 16
      if (!isGeneve) {
        if ((first !== 8 || word >>> 24 !== 0) && vxlanWrong(udp + 8, bits) !== 0) break
      } else if ((first & 0xffffc0ff) !== PLAIN_GENEVE) {
        const options = (first & 0x3f) << 2
        if (size < 20 + options || headBefore !== first || data.getInt32(udp + 16, true) !== optionBefore) {
          const header = geneveLength(udp + 8, o + n, known[endpoint] as ReadonlySet<number>)
          if (header < 0) break
          const option = data.getInt32(udp + 16, true)
          // One that fills all there is of options: of another of its kind nothing else is to be asked.
          if (4 + ((option >>> 24) & 0x1f) * 4 === options) {
            headBefore = first
            optionBefore = option
          }
        }
        inner += options
      }
      if (o + n - inner < ETH) break
      const key = word & 0xffffff
      if (key !== vniBefore) {
        let slot = home(key, endpoint, wrap + 1)
        while (table[slot + 1] !== 0 && (table[slot] !== key || table[slot + 1] !== mark)) slot = (slot + 4) & wrap
        const of = table[slot + 1] === 0 ? (rows[row + ANY_VNI] as number) : (table[slot + 2] as number)
        if (of < 0 || (network >= 0 && of !== network)) break
        network = of
        vniBefore = key
      }
      if ((bits & NO_TAGS) !== 0) {
        const tag = data.getUint16(inner + 12, true)
        if (tag === 0x0081 || tag === 0xa888) break
      }
      if ((tos & 3) !== 0 && !ecn(inner, o + n, tos)) break
      const k = (i - start) << 2
      if (!v6) sources[k] = data.getInt32(o + 26, true)
      else {
        sources[k] = data.getInt32(o + 22, true)
        sources[k + 1] = data.getInt32(o + 26, true)
        sources[k + 2] = data.getInt32(o + 30, true)
        sources[k + 3] = data.getInt32(o + 34, true)
      }
      if (unfinished !== 0) flags[f] = 0
      off[f] = inner
      len[f] = o + n - inner
    }
    if (i === start) return i
    seen[Seen.Vni] = vniBefore
    seen[Seen.Network] = network
    return i
  }
}
