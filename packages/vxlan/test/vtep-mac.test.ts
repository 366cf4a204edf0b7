import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sha1, sha256 } from '../src/digest.ts'
import { calicoMac, conjuredMac, dockerMac, ovnMac, windowsOverlayMac } from '../src/index.ts'

describe('MAC addresses made of names and addresses', () => {
  it('Calico: the vectors of modes.md 10.3', () => {
    expect(calicoMac('node1')).toBe('66:f9:37:c3:7e:94')
    expect(calicoMac('node1', true)).toBe('66:0f:35:f2:60:df')
    expect(calicoMac('ip-10-0-0-1')).toBe('66:2e:31:60:3b:9e')
  })
  it('Calico: a name that is not ASCII is hashed as UTF-8', () => {
    const digest = createHash('sha1').update('knoten-\u00fc\u{1f680}').digest('hex')
    expect(calicoMac('knoten-\u00fc\u{1f680}').replaceAll(':', '')).toBe(`66${digest.slice(0, 10)}`)
  })
  it('Windows overlay: modes.md 4.1', () => {
    expect(windowsOverlayMac('10.244.3.7')).toBe('0e:2a:0a:f4:03:07')
    expect(windowsOverlayMac('10.244.3.7', '02-ab')).toBe('02:ab:0a:f4:03:07')
    for (const wrong of ['0E:2A', '0E2A', '0E-2A-', '']) {
      expect(() => windowsOverlayMac('10.0.0.1', wrong)).toThrow(/prefix must be two bytes like 0E-2A, not/)
    }
  })
  it('OVN, Docker, kube-proxy', () => {
    expect(ovnMac('10.244.3.7')).toBe('0a:58:0a:f4:03:07')
    const digest = createHash('sha256').update('fd00::7').digest('hex')
    expect(ovnMac('fd00:0::7').replaceAll(':', '')).toBe(`0a58${digest.slice(0, 8)}`)
    expect(dockerMac('172.17.0.2')).toBe('02:42:ac:11:00:02')
    expect(conjuredMac('192.0.2.1')).toBe('02:11:c0:00:02:01')
    expect(conjuredMac('fd00::1:2')).toBe('02:11:02:00:01:00')
    expect(() => dockerMac('nowhere')).toThrow(/not an IPv4 address/)
  })
  it('digests are those of another implementation, whatever the length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(Buffer.from(sha1(bytes))).toEqual(createHash('sha1').update(bytes).digest())
        expect(Buffer.from(sha256(bytes))).toEqual(createHash('sha256').update(bytes).digest())
      }),
    )
  })
})
