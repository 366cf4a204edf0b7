import type { geneve, ProfileOptions } from '@l2l3/vxlan'
import { type Address, parseIp } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Path } from '../document.ts'
import type { Report } from '../mode.ts'
import { outerKeys } from './tunnel-schema.ts'

/* What the keys of `tunnel-schema.ts` mean: from the file's words to what @l2l3/vxlan takes. */

/** Fields of a profile as the file has them. */
export interface RawOuter extends Omit<ProfileOptions, 'sourcePorts'> {
  sourcePorts?: string
}

/** A GENEVE option as the file has it. */
export interface RawOption {
  class: number
  type: number
  data?: string
}

/** The fields of a profile among other keys. */
export function outerOf(raw: RawOuter): ProfileOptions {
  const { sourcePorts } = raw
  const known = Object.entries(raw).filter(([key]) => key in outerKeys && key !== 'sourcePorts')
  const [low = 0, high = 0] = sourcePorts?.split('-').map(Number) ?? []
  return { ...Object.fromEntries(known), ...(sourcePorts === undefined ? {} : { sourcePorts: [low, high] }) }
}

/** GENEVE options with their bytes. */
export function optionsOf(raw: readonly RawOption[]): geneve.GeneveOption[] {
  return raw.map(({ class: cls, type, data = '' }) => ({
    ...{ class: cls, type },
    data: Uint8Array.from(data.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
  }))
}

/** Reads the address of a far end, and reports where it cannot be one: not an IP address, the node's own, of another family
 * than `local`. */
export function farEnd(
  report: Report,
  at: Path,
  text: string,
  local: Address,
  own: readonly Address[],
): Address | undefined {
  const address = attempt(report, at, () => parseIp(text))
  if (address === undefined) return undefined
  if (own.some((a) => a.text === address.text)) report(at, `${address.text} is an address of the node itself`)
  else if (address.family !== local.family) {
    report(at, `${address.text} is an IPv${address.family} address, and this end is ${local.text}`)
  }
  return address
}

/** Tells whether an address is a multicast group's. */
export function isGroup({ bytes }: Address): boolean {
  return bytes.length === 4 ? ((bytes[0] as number) & 0xf0) === 0xe0 : bytes[0] === 0xff
}
