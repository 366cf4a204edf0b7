// Which rule counts: tables, and any rules at all beside the slowest way that is obviously right.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Classifier } from '../../src/acl/classifier.ts'
import { Question } from '../../src/acl/question.ts'
import { ReadRule } from '../../src/acl/rule.ts'
import { AclRules } from '../../src/acl/rules.ts'
import type { AclOptions, AclRule, AclTier } from '../../src/index.ts'
import { address, allows, ask, type Flow, prefix } from './naive-acl.ts'

const q = new Question()
const tcp = (out: boolean, local: string, remote: string, remotePort = 80): Flow => {
  return { out, protocol: 6, local, remote, localPort: 40_000, remotePort }
}

describe('order', () => {
  it('the lowest priority counts, and of equal ones a block, then who comes first', () => {
    const rules = new AclRules({
      rules: [
        { name: 'a', action: 'allow', direction: 'out', remoteAddresses: ['10.0.0.0/8'], priority: 300 },
        { name: 'b', action: 'block', direction: 'out', remoteAddresses: ['10.0.0.5'], priority: 200 },
        { name: 'c', action: 'allow', direction: 'out', remoteAddresses: ['10.0.0.6'], priority: 200 },
        { name: 'd', action: 'block', direction: 'out', remoteAddresses: ['10.0.0.6'], priority: 200 },
        { name: 'e', action: 'allow', direction: 'out', remoteAddresses: ['10.0.0.7'], priority: 300 },
      ],
      defaults: 'block',
    })
    const decided = (remote: string): [boolean, string] => {
      const allowed = rules.judge(ask(q, tcp(true, '10.1.0.2', remote)))
      return [allowed, rules.rule < 0 ? '-' : (rules.rules[rules.rule] as ReadRule).name]
    }
    expect(decided('10.0.0.4')).toEqual([true, 'a'])
    expect(decided('10.0.0.5')).toEqual([false, 'b'])
    expect(decided('10.0.0.6')).toEqual([false, 'd'])
    expect(decided('10.0.0.7')).toEqual([true, 'a'])
    expect(decided('11.0.0.7')).toEqual([false, '-'])
    expect([...rules.hits]).toEqual([2, 1, 0, 1, 0])
  })

  it('a pass, and a tier without a match, hand on; rules without a tier come last', () => {
    const to = (n: number, action: AclRule['action']): AclRule => {
      return { action, direction: 'out', remoteAddresses: [`10.0.0.${n}`] }
    }
    const acl: AclOptions = {
      tiers: [
        { name: 'late', order: 20, rules: [to(1, 'block'), to(2, 'allow')] },
        { name: 'early', order: 10, rules: [to(1, 'pass'), to(2, 'pass'), to(3, 'pass'), to(4, 'allow')] },
      ],
      rules: [to(2, 'block'), to(3, 'block'), to(4, 'block'), to(5, 'pass'), to(6, 'block')],
    }
    const rules = new AclRules(acl)
    const verdicts = [1, 2, 3, 4, 5, 6, 7].map((n) => rules.judge(ask(q, tcp(true, '10.1.0.2', `10.0.0.${n}`))))
    expect(verdicts).toEqual([false, true, false, true, true, false, true])
  })

  it('a flow has to get through both layers, and what neither allows is up to the defaults', () => {
    const rules = new AclRules({
      rules: [
        { action: 'allow', direction: 'in', remotePorts: ['1-9'], protocols: [6], ruleType: 'switch' },
        { action: 'block', direction: 'in', remotePorts: [5], protocols: [6], ruleType: 'host' },
        { action: 'allow', direction: 'in', remotePorts: [20], protocols: [6], ruleType: 'host' },
        { action: 'block', direction: 'in', remotePorts: ['20-21'], protocols: [6], ruleType: 'switch' },
      ],
      defaults: 'block',
    })
    const verdict = (port: number): boolean => rules.judge(ask(q, tcp(false, '10.1.0.2', '10.0.0.1', port)))
    expect([4, 5, 20, 21, 22].map(verdict)).toEqual([true, false, false, false, false])
  })
})

describe('defaults', () => {
  const verdicts = (defaults: AclOptions['defaults']): string[] => {
    const rules = new AclRules({ ...(defaults === undefined ? {} : { defaults }) })
    return [true, false].map((out) =>
      [1, 2, 6, 17, 47, 50, 58, 132]
        .filter((protocol) => rules.judge(ask(q, { ...tcp(out, '10.0.0.1', '10.0.0.2'), protocol })))
        .join(),
    )
  }
  it.each([
    [undefined, '1,2,6,17,47,50,58,132', '1,2,6,17,58'],
    ['process', '1,2,6,17,47,50,58,132', '1,2,6,17,58'],
    ['hyper-v', '1,2,6,17,47,50,58,132', '1,2,6,17,47,50,58,132'],
    ['allow', '1,2,6,17,47,50,58,132', '1,2,6,17,47,50,58,132'],
    ['block', '', ''],
  ] as const)('%s', (defaults, out, into) => expect(verdicts(defaults)).toEqual([out, into]))
})

it('a rule says what it is', () => {
  const text = (rule: AclRule): string => new ReadRule('rules[0]', rule, '0').text
  expect(
    text({
      name: 'deny-db',
      action: 'block',
      direction: 'out',
      protocols: [6],
      remoteAddresses: ['10.0.0.0/8'],
      remotePorts: [3306],
      priority: 200,
    }),
  ).toBe('rule "deny-db" (priority 200, block out tcp 10.0.0.0/8:3306)')
  expect(
    text({
      action: 'pass',
      direction: 'in',
      ruleType: 'host',
      protocols: [6, 17, 132, 99],
      localAddresses: ['10.1.0.2'],
      localPorts: [80, '8000-8080'],
    }),
  ).toBe('rule "0" (priority 0, host pass in tcp,udp,sctp and 1 more any to 10.1.0.2/32:80,8000-8080)')
})

describe('refuses', () => {
  const rule: AclRule = { action: 'allow', direction: 'in' }
  it.each<[AclOptions, string]>([
    [
      { rules: [{ ...rule, action: 'permit' as 'allow' }] },
      'rules[0].action must be allow or block or pass, not "permit"',
    ],
    [{ rules: [{ ...rule, direction: 'IN' as 'in' }] }, 'rules[0].direction must be in or out, not "IN"'],
    [{ rules: [rule, { ...rule, prio: 3 } as AclRule] }, 'rules[1]: unknown key "prio"'],
    [{ rules: [{ ...rule, priority: 65_536 }] }, 'rules[0].priority must be'],
    [{ rules: [{ ...rule, protocols: [256] }] }, 'rules[0].protocols[0] must be'],
    [
      { rules: [{ ...rule, localAddresses: ['10.0.0.1/8'] }] },
      'rules[0].localAddresses[0]: "10.0.0.1/8" has host bits',
    ],
    [{ rules: [{ ...rule, localPorts: ['9-7'] }] }, 'rules[0].localPorts[0]: "9-7" ends before it begins'],
    [{ rules: [{ ...rule, remotePorts: ['x'] }] }, 'rules[0].remotePorts[0] must be a port or "first-last", not "x"'],
    [{ rules: [{ ...rule, protocols: [1], remotePorts: [80] }] }, 'rules[0]: ports with protocols 1, which have none'],
    [
      { rules: [{ ...rule, localAddresses: ['10.0.0.1'], remoteAddresses: ['fd00::1'] }] },
      'rules[0]: localAddresses and remoteAddresses have no family in common',
    ],
    [{ tiers: [{ name: 'x', order: 70_000, rules: [] }] }, 'tiers[0].order must be'],
    [{ tiers: [{ name: 'x', order: 1, rules: [{ ...rule, priority: -1 }] }] }, 'tiers[0].rules[0].priority must be'],
    [{ defaults: 'none' as 'block' }, 'defaults must be process or hyper-v or allow or block, not "none"'],
    [{ layers: ['host'], rules: [rule] }, 'rules[0].ruleType: there is no layer "switch" here'],
    [{ rule: [] } as AclOptions, 'unknown key "rule"'],
  ])('%j', (options, message) => expect(() => new AclRules(options)).toThrow(message))
})

/* Any rules at all, in a world so small that they meet. */

const family = fc.constantFrom<4 | 6>(4, 6)
const place = fc.nat(0x3ff)
const prefixes = (of: 4 | 6): fc.Arbitrary<string[]> =>
  fc.array(
    fc
      .tuple(place, fc.constantFrom(0, 8, 14, 16, 24, 30, 31, 32, 64, 127, 128))
      .map(([n, length]) => prefix(of, n, of === 4 ? Math.min(length, 32) : length)),
    { maxLength: 4 },
  )
const ports = fc.array(
  fc.oneof(
    fc.nat(7),
    fc.tuple(fc.nat(7), fc.nat(7)).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
  ),
  { maxLength: 3 },
)
const rule: fc.Arbitrary<AclRule> = family.chain((of) =>
  fc.record({
    action: fc.constantFrom('allow', 'block', 'pass'),
    direction: fc.constantFrom('in', 'out'),
    protocols: fc.uniqueArray(fc.constantFrom(6, 17, 1), { maxLength: 2 }).filter((p) => p.join() !== '1'),
    localAddresses: prefixes(of),
    remoteAddresses: prefixes(of),
    localPorts: ports,
    remotePorts: ports,
    priority: fc.nat(5),
    ruleType: fc.constantFrom('switch', 'host'),
  }),
)
const acl: fc.Arbitrary<AclOptions> = fc.record({
  rules: fc.array(rule, { maxLength: 24 }),
  tiers: fc.array(
    fc.record({
      name: fc.constant('t'),
      order: fc.nat(3),
      rules: fc.array(rule, { maxLength: 12 }),
    }) as fc.Arbitrary<AclTier>,
    { maxLength: 3 },
  ),
  defaults: fc.constantFrom('process', 'hyper-v', 'allow', 'block'),
})
const flow: fc.Arbitrary<Flow> = fc
  .record({
    out: fc.boolean(),
    protocol: fc.constantFrom(6, 17, 1, 2, 47),
    of: family,
    l: place,
    r: place,
    lp: fc.nat(7),
    rp: fc.nat(7),
  })
  .map(({ out, protocol, of, l, r, lp, rp }) => {
    const ported = protocol === 6 || protocol === 17
    return {
      out,
      protocol,
      local: address(of, l),
      remote: address(of, r),
      localPort: ported ? lp : -1,
      remotePort: ported ? rp : -1,
    }
  })

describe('any rules and flows', () => {
  it('come to what a look at every rule comes to', () => {
    fc.assert(
      fc.property(acl, fc.array(flow, { minLength: 1, maxLength: 40 }), (options, flows) => {
        const rules = new AclRules(options)
        for (const f of flows) expect([f, rules.judge(ask(q, f))]).toEqual([f, allows(options, f)])
      }),
      { numRuns: 500 },
    )
  })

  it('also where a rule has more combinations than the tables take', () => {
    const many = (n: number, of: (i: number) => string): string[] => Array.from({ length: n }, (_, i) => of(i))
    const rules: AclRule[] = [
      {
        action: 'block',
        direction: 'out',
        protocols: [6],
        localAddresses: many(40, (i) => address(4, i)),
        remoteAddresses: many(40, (i) => address(4, 256 + i)),
        remotePorts: [1, 2, 3, 4],
      },
      {
        action: 'block',
        direction: 'out',
        protocols: Array.from({ length: 255 }, (_, i) => i),
        remoteAddresses: many(200, (i) => address(6, i)),
        localPorts: [1, 2, 3],
      },
    ]
    const options: AclOptions = { rules, defaults: 'allow' }
    const compiled = new AclRules(options)
    fc.assert(
      fc.property(flow, (f) => {
        expect(compiled.judge(ask(q, f))).toBe(allows(options, f))
      }),
      { numRuns: 5000 },
    )
  })

  it('10,000 rules of a few shapes: a search looks at some tables, not at all rules', () => {
    const rules = Array.from({ length: 10_000 }, (_, i): ReadRule => {
      const remote = `10.${i >>> 8}.${i & 255}.0/24`
      const more: Partial<AclRule>[] = [
        { remoteAddresses: [remote], protocols: [6], remotePorts: [1024 + i] },
        { remoteAddresses: [remote], protocols: [17] },
        { remoteAddresses: [`10.${i >>> 8}.${i & 255}.7`] },
        { localAddresses: [`10.244.0.0/16`], remoteAddresses: [remote], protocols: [6, 17] },
      ]
      return new ReadRule('r', { action: 'block', direction: 'out', ...more[i & 3] }, `${i}`)
    })
    const classifier = new Classifier(rules, 4)
    expect(classifier.shapes).toBe(4)
    for (const i of [0, 1, 2, 3, 4000, 9999]) {
      const remote = `10.${i >>> 8}.${i & 255}.7`
      const f = {
        out: true,
        protocol: (i & 3) === 1 ? 17 : 6,
        local: '10.244.1.1',
        remote,
        localPort: 1,
        remotePort: 1024 + i,
      }
      expect(classifier.find(ask(q, f))).toBe(rules.findIndex((r) => r.matches(ask(new Question(), f))))
    }
  })
})
