import { checkRange } from '@l2l3/switch-core'
import { copy, put16, put32, u16, u32 } from '@l2l3/switch-core/wire'

/*
 * The GENEVE header (RFC 8926, 3.4 and 3.5).
 *
 *     0          1          2               4                        7          8
 *     |Ver OptLen|O C ......| protocol type |          VNI           | reserved | options, OptLen words ... | payload
 *
 *     an option:  | class 16 | C type 7 | ... length 5, in words | data, length words |
 *
 * C in an option says that whoever does not know it must drop the packet; C in the header, that there is such an option. O
 * marks a control message for the tunnel's end itself.
 */

/** Bytes of the header without options. */
export const HLEN = 8
/** Offset of the protocol type. */
export const PROTOCOL = 2
/** The port that IANA gave to GENEVE. */
export const PORT = 6081
/** Bytes of options at most: 63 words. */
export const MAX_OPTIONS = 252
/** Protocol type of an Ethernet frame (`EtherType.Teb`). */
export const ETHERNET = 0x6558

/** Bits of the second byte. */
export const Flag = { Control: 0x80, Critical: 0x40 } as const
/** The bit of an option's type that makes it critical. */
export const CRITICAL = 0x80

/** Looks at the lengths: gives where the payload starts, or -1 where header and options do not lie within `end`. */
export function check(b: Uint8Array, o: number, end: number): number {
  if (end - o < HLEN) return -1
  const length = HLEN + optionsLength(b, o)
  return length > end - o ? -1 : o + length
}

/** The version; 0 is the only one there is. */
export function version(b: Uint8Array, o: number): number {
  return (b[o] as number) >>> 6
}

/** Bytes of options. */
export function optionsLength(b: Uint8Array, o: number): number {
  return ((b[o] as number) & 0x3f) << 2
}

/** Bits of `Flag`, and the six reserved ones. */
export function flags(b: Uint8Array, o: number): number {
  return b[o + 1] as number
}

/** What it carries: an EtherType. */
export function protocol(b: Uint8Array, o: number): number {
  return u16(b, o + PROTOCOL)
}

/** The virtual network identifier: 24 bits. */
export function vni(b: Uint8Array, o: number): number {
  return u32(b, o + 4) >>> 8
}

/** An option's class. */
export function optionClass(b: Uint8Array, at: number): number {
  return u16(b, at)
}

/** An option's type, `CRITICAL` included. */
export function optionType(b: Uint8Array, at: number): number {
  return b[at + 2] as number
}

/** Bytes of the option at `at`, its own header included: 4 to 128. */
export function optionSize(b: Uint8Array, at: number): number {
  return 4 + (((b[at + 3] as number) & 0x1f) << 2)
}

/** What `checkOptions` says. */
export const Options = { Ok: 0, Lengths: 1, CriticalBit: 2, UnknownCritical: 3 } as const

/**
 * Goes through the options of a header that passed `check`.
 * @param known `class << 8 | type` of the options that are understood
 * @returns `Ok`; `Lengths` where they do not fill OptLen exactly; `CriticalBit` where C in the header is not what the
 *   options say; `UnknownCritical` where one must be understood and is not known
 */
export function checkOptions(b: Uint8Array, o: number, known: ReadonlySet<number>): number {
  const end = o + HLEN + optionsLength(b, o)
  let critical = false
  let unknown = false
  for (let at = o + HLEN; at < end; ) {
    if (end - at < 4) return Options.Lengths
    const size = optionSize(b, at)
    if (size > end - at) return Options.Lengths
    const type = optionType(b, at)
    if ((type & CRITICAL) !== 0) {
      critical = true
      if (!known.has((optionClass(b, at) << 8) | type)) unknown = true
    }
    at += size
  }
  if (critical !== ((flags(b, o) & Flag.Critical) !== 0)) return Options.CriticalBit
  return unknown ? Options.UnknownCritical : Options.Ok
}

/** Finds the first option of a class and type in a header whose options passed `checkOptions`: where it starts, or -1. */
export function option(b: Uint8Array, o: number, cls: number, type: number): number {
  const end = o + HLEN + optionsLength(b, o)
  for (let at = o + HLEN; end - at >= 4; at += optionSize(b, at)) {
    if (optionClass(b, at) === cls && optionType(b, at) === type) return optionSize(b, at) > end - at ? -1 : at
  }
  return -1
}

/** An option, as it is configured and shown. */
export interface GeneveOption {
  /** Who defined it: 0 to 65,535. */
  class: number
  /** 0 to 255; from 128 on it is critical. */
  type: number
  /** A multiple of four bytes, up to 124. */
  data: Uint8Array
}

/** What `write` puts into a header. */
export interface GeneveFields {
  vni: number
  /** Default `ETHERNET`. */
  protocol?: number
  /** A control message. Default false. */
  control?: boolean
  options?: readonly GeneveOption[]
}

/** Bytes of the header that `write` would make. Throws a RangeError that names an option out of range. */
export function size(options: readonly GeneveOption[] = []): number {
  let bytes = 0
  for (const [i, o] of options.entries()) {
    checkRange(`options[${i}].class`, o.class, 0, 0xffff)
    checkRange(`options[${i}].type`, o.type, 0, 0xff)
    if ((o.data.length & 3) !== 0 || o.data.length > 124) {
      throw new RangeError(`options[${i}].data must be a multiple of 4 bytes, up to 124, not ${o.data.length}`)
    }
    bytes += 4 + o.data.length
  }
  if (bytes > MAX_OPTIONS) throw new RangeError(`options must be ${MAX_OPTIONS} bytes at most, not ${bytes}`)
  return HLEN + bytes
}

/** Writes a header with its options and returns where the payload goes; C is set where an option is critical. Throws as
 * `size` does. */
export function write(b: Uint8Array, o: number, h: GeneveFields): number {
  const options = h.options ?? []
  const length = size(options)
  const critical = options.some((x) => (x.type & CRITICAL) !== 0)
  b[o] = (length - HLEN) >>> 2
  b[o + 1] = (h.control ? Flag.Control : 0) | (critical ? Flag.Critical : 0)
  put16(b, o + PROTOCOL, h.protocol ?? ETHERNET)
  put32(b, o + 4, h.vni << 8)
  let at = o + HLEN
  for (const x of options) {
    put16(b, at, x.class)
    b[at + 2] = x.type
    b[at + 3] = x.data.length >>> 2
    copy(b, at + 4, x.data, 0, x.data.length)
    at += 4 + x.data.length
  }
  return at
}

/** A header, for people. */
export interface GeneveHeader {
  readonly version: number
  readonly vni: number
  readonly protocol: number
  readonly control: boolean
  readonly critical: boolean
  readonly options: readonly GeneveOption[]
}

/** Reads the header at `o`, which passed `check`, for people; options up to the first that does not fit. */
export function toJSON(b: Uint8Array, o: number): GeneveHeader {
  const end = o + HLEN + optionsLength(b, o)
  const options: GeneveOption[] = []
  for (let at = o + HLEN; end - at >= 4 && optionSize(b, at) <= end - at; at += optionSize(b, at)) {
    const data = Uint8Array.from(b.subarray(at + 4, at + optionSize(b, at)))
    options.push({ class: optionClass(b, at), type: optionType(b, at), data })
  }
  return {
    version: version(b, o),
    vni: vni(b, o),
    protocol: protocol(b, o),
    control: (flags(b, o) & Flag.Control) !== 0,
    critical: (flags(b, o) & Flag.Critical) !== 0,
    options,
  }
}

/** Says in a few words what the header at `o`, which passed `check`, is. */
export function describe(b: Uint8Array, o: number): string {
  const h = toJSON(b, o)
  const hex = (n: number, digits: number): string => `0x${n.toString(16).padStart(digits, '0')}`
  const words = [`GENEVE vni ${h.vni}`]
  if (h.version !== 0) words.push(`version ${h.version}`)
  if (h.protocol !== ETHERNET) words.push(`protocol ${hex(h.protocol, 4)}`)
  if (h.control) words.push('control')
  for (const x of h.options) {
    const data = Array.from(x.data, (v) => v.toString(16).padStart(2, '0')).join('')
    const name = (x.type & CRITICAL) !== 0 ? 'critical option' : 'option'
    words.push(`${name} ${hex(x.class, 4)}/${hex(x.type, 2)} ${data}`.trimEnd())
  }
  return words.join(', ')
}
