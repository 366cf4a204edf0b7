import { expect, it } from 'vitest'
import { Addresses6, OutboundNat, OutsidePorts, SourceNat } from '../../src/index.ts'

/* Rules change while flows go on: numbers of NATs are kept as long as a flow has them. */

it('rules come and go, and NATs that no rule names are closed with their last flow', () => {
  const addresses = new Addresses6({ max: 64 })
  const ports = new OutsidePorts({ maxPorts: 64 })
  const made = (to: string): SourceNat => new SourceNat(addresses, { to: [to], outsidePorts: ports })
  const free = addresses.size
  const first = made('2001:db8::1')
  const outbound = new OutboundNat([{ verdict: first }])
  expect(addresses.size).toBe(free + 1)
  for (let i = 0; i < 200; i++) outbound.setRules([{ verdict: made('192.0.2.1') }])
  // The first had no flow: it holds its address no more, and numbers were given again.
  expect(addresses.size).toBe(free)
  expect(ports.join()).toBeLessThan(5)
  expect(outbound.nats).toHaveLength(1)
  expect(() => outbound.setRules([{ verdict: 'drop' as never }], 'outbound')).toThrow(/^outbound\[0\]\.verdict/)
  expect(outbound.nats).toHaveLength(1)
})
