/** SCTP's checksum after a change of ports: scapy's, and that of a CRC taken bit by bit. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { moveSctpPorts } from '../src/crc32c.ts'
import { bytesOf, hexOf, naiveCrc32c } from './awkward.ts'

/** Changes the ports of a packet as the engine does. */
function move(packet: Uint8Array, ports: number): Uint8Array {
  const out = Uint8Array.from(packet)
  const at = new DataView(out.buffer)
  const before = at.getUint32(0)
  at.setUint32(0, ports)
  moveSctpPorts(out, 0, before, ports, out.length)
  return out
}

describe('the checksum of SCTP', () => {
  it.each([
    // scapy 2.5: SCTP(sport, dport, tag=0x01020304) / Raw((7 i + 3) & 255)
    ['without a chunk', 0x9c401388, '13a6138801020304504cccc6', '9c4013880102030491237745'],
    [
      'of 32 bytes',
      0x9c401388,
      '13a6138801020304b1830203030a11181f262d343b424950575e656c737a8188',
      '9c40138801020304754f061d030a11181f262d343b424950575e656c737a8188',
    ],
    [
      'of an odd length, both ports changed',
      0xffff0001,
      '0001ffff010203045960ddf4030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dce3',
      'ffff0001010203046650d7d6030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dce3',
    ],
  ])('is what scapy gives for a packet %s', (_, ports, before, after) => {
    expect(hexOf(move(bytesOf(before), ports))).toBe(after)
    expect(naiveCrc32c(bytesOf(after))).toBe(after.slice(16, 24))
  })

  it('is right for any ports and lengths', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 12, maxLength: 3000 }),
        fc.integer({ min: 0, max: 0xffffffff }),
        (packet, ports) => {
          packet.set(bytesOf(naiveCrc32c(packet)), 8)
          const moved = move(packet, ports)
          expect(hexOf(moved.subarray(8, 12))).toBe(naiveCrc32c(moved))
        },
      ),
      { numRuns: 200 },
    )
  })

  it.each([255, 256, 257, 511, 512, 4096, 65_280, 65_515])('is right in a packet of %i bytes', (length) => {
    const packet = new Uint8Array(length).map((_, i) => (i * 31) & 255)
    packet.set(bytesOf(naiveCrc32c(packet)), 8)
    const moved = move(packet, 0xdeadbeef)
    expect(hexOf(moved.subarray(8, 12))).toBe(naiveCrc32c(moved))
  })

  it('stays zero where none was sent, and wrong where it was wrong', () => {
    const none = bytesOf('13a6138801020304 00000000 01020304')
    expect(hexOf(move(none, 0x9c401388).subarray(8, 12))).toBe('00000000')
    const wrong = bytesOf('13a6138801020304504cccc7')
    const moved = move(wrong, 0x9c401388)
    expect(hexOf(moved.subarray(8))).not.toBe(naiveCrc32c(moved))
    expect(hexOf(move(moved, 0x13a61388))).toBe(hexOf(wrong))
  })
})
