/**
 * Programs that nobody here wrote, across a NAT router: web, DNS, ping, traceroute, a gigabyte over TCP; and coturn's
 * `turnutils_natdiscovery` (RFC 5780), which names how a NAT maps and filters. The same script for the kernel's and ours.
 */
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { kernelBetween, missing, type NatLab, natLab, oursBetween } from './nat-lab.ts'
import { noKernel, type OurOptions } from './nat-worlds.ts'

const SERVER = fileURLToPath(new URL('nat-server.mjs', import.meta.url))
/** How much is transferred: a gigabyte. */
const BYTES = 1_000_000_000
/** A record whose answer is longer than a packet. */
const LONG = Array.from({ length: 12 }, (_, i) => `${'abcdefghijklmnopqrstuvwxyz'[i]}`.repeat(240))

const worlds = [
  { world: "the kernel's", join: () => kernelBetween() },
  { world: 'ours', join: () => oursBetween() },
]

describe.each(worlds)('programs across $world NAT', ({ join }) => {
  let lab: NatLab
  const why = noKernel || missing('curl', 'dig', 'dnsmasq', 'ping', 'traceroute')
  beforeAll(async () => {
    if (why) return
    lab = await natLab(join())
    await lab.start('outside', `exec ${process.execPath} ${SERVER} 203.0.113.2 8000`, /ready/)
    const records = `--address=/l2l3.test/192.0.2.7 --txt-record=long.test,${LONG.join(',')}`
    const quiet =
      '-k -C /dev/null --no-resolv --no-hosts --pid-file= --user=root --log-facility=- --edns-packet-max=4096'
    await lab.start('outside', `exec dnsmasq ${quiet} -a 203.0.113.2 -z ${records}`, /started/)
  })
  afterAll(() => lab?.close())
  const does = (name: string, run: () => Promise<void>): void => {
    it(name, { timeout: 90_000 }, async (context) => {
      if (why) context.skip(why)
      await run()
    })
  }

  does('ping', async () => {
    const { code, text } = await lab.run('inside', 'ping -n -c 5 -i 0.2 -W 2 203.0.113.2')
    expect([code, /(\d+) received/.exec(text)?.[1]]).toEqual([0, '5'])
    // Two at once have ids of their own, also where both want the same.
    const [a, b] = await Promise.all([
      lab.run('inside', 'ping -n -e 77 -I 10.22.0.11 -c 3 -i 0.2 -W 2 203.0.113.2'),
      lab.run('inside', 'ping -n -e 77 -I 10.22.0.12 -c 3 -i 0.2 -W 2 203.0.113.2'),
    ])
    expect([a.code, b.code]).toEqual([0, 0])
  })

  does('ping of 5,000 bytes, in fragments', async () => {
    const { text } = await lab.run('inside', 'ping -n -c 3 -i 0.2 -W 2 -s 5000 203.0.113.2')
    expect(/(\d+) received/.exec(text)?.[1]).toBe('3')
  })

  does('curl: the server sees the outside address, and the port of the client', async () => {
    const { code, text } = await lab.run('inside', 'curl -s --local-port 45000 http://203.0.113.2:8000/who')
    expect([code, text]).toEqual([0, '203.0.113.1:45000\n'])
  })

  does('curl: 20 one after another, and 20 at once', async () => {
    const one = 'curl -s http://203.0.113.2:8000/hello'
    const row = await lab.run('inside', `for i in $(seq 20); do ${one}; done`)
    const all = await lab.run('inside', `for i in $(seq 20); do ${one} & done; wait`)
    expect([row.text, all.text]).toEqual(['hello\n'.repeat(20), 'hello\n'.repeat(20)])
  })

  does('curl: a port where nobody listens is refused at once', async () => {
    const { code, text } = await lab.run('inside', 'curl -sS -m 5 http://203.0.113.2:81/')
    expect([code, text]).toEqual([7, expect.stringMatching(/refused|Couldn't connect/)])
  })

  does('DNS over UDP, and over TCP', async () => {
    for (const how of ['+notcp', '+tcp']) {
      const { text } = await lab.run('inside', `dig +short +time=2 +tries=1 ${how} @203.0.113.2 l2l3.test A`)
      expect(text).toBe('192.0.2.7\n')
    }
  })

  does('DNS: an answer in fragments', async () => {
    const { text } = await lab.run('inside', 'dig +time=2 +tries=1 +ignore +bufsize=4096 @203.0.113.2 long.test TXT')
    expect(text).toContain(LONG[11])
    expect(Number(/rcvd: (\d+)/.exec(text)?.[1])).toBeGreaterThan(1500)
  })

  for (const [how, flag] of [
    ['UDP', ''],
    ['ICMP', '-I'],
    ['TCP', '-T -p 8000'],
  ] as const) {
    does(`traceroute by ${how}: the gateway, then the server`, async () => {
      const { text } = await lab.run('inside', `traceroute -n -q 1 -N 1 -w 2 -m 5 ${flag} 203.0.113.2`)
      const hops = Array.from(text.matchAll(/^ *\d+ +(\S+)/gm), ([, hop]) => hop)
      expect(hops).toEqual(['10.22.0.1', '203.0.113.2'])
    })
  }

  does('a gigabyte over TCP, with the checksum that it was sent with', async () => {
    const hash = `const h=require("crypto").createHash("sha256");let n=0;process.stdin.on("data",d=>{n+=d.length;h.update(d)}).on("end",()=>console.log(n,h.digest("hex")))`
    const began = Date.now()
    const got = await lab.run(
      'inside',
      `curl -s http://203.0.113.2:8000/bytes/${BYTES} | ${process.execPath} -e '${hash}'`,
    )
    const took = Date.now() - began
    const { text: sum } = await lab.run('inside', 'curl -s http://203.0.113.2:8000/sum')
    expect(got.text).toBe(`${BYTES} ${sum}`)
    expect(took).toBeLessThan(60_000)
  })
})

/** What natdiscovery says, in its words. */
interface Discovered {
  mapping: string | undefined
  filtering: string | undefined
}

/** Runs natdiscovery with these arguments, against a server with two addresses. */
async function natdiscovery(lab: NatLab, args: string): Promise<string> {
  const turn = '-n -L 203.0.113.2 -L 203.0.113.3 --no-auth --no-tls --no-dtls --no-cli --no-tcp --no-tcp-relay'
  const files = `--log-file stdout --simple-log --pidfile /dev/null --userdb /dev/null`
  await lab.start('outside', `exec turnserver ${turn} ${files}`, /Total General servers/)
  return (await lab.run('inside', `turnutils_natdiscovery ${args} -L 10.22.0.11 203.0.113.2`)).text
}

async function discover(lab: NatLab): Promise<Discovered> {
  const text = await natdiscovery(lab, '-m -f')
  return {
    mapping: /NAT with (.+) Mapping!/.exec(text)?.[1],
    filtering: /NAT with (.+) Filtering!/.exec(text)?.[1],
  }
}

const NAMES = {
  'endpoint-independent': 'Endpoint Independent',
  'address-dependent': 'Address Dependent',
  'address-and-port-dependent': 'Address and Port Dependent',
} as const
const BEHAVIOURS = Object.keys(NAMES) as (keyof typeof NAMES)[]

interface Case {
  name: string
  join: Parameters<typeof natLab>[0]
  says: readonly [mapping: string, filtering: string]
}

/** Ours with these rules. */
const mine = (name: string, rule: NonNullable<OurOptions['outbound']>[0], ...says: Case['says']): Case => {
  return { name, join: oursBetween({ outbound: [rule] }), says }
}

describe('natdiscovery (RFC 5780) finds', () => {
  const [ei, , apd] = BEHAVIOURS.map((b) => NAMES[b]) as [string, string, string]
  const cases: Case[] = [
    { name: "the kernel's masquerade", join: kernelBetween(), says: [ei, apd] },
    { name: "the kernel's, fully random", join: kernelBetween({ random: true }), says: [apd, apd] },
    mine('ours as it is', {}, ei, apd),
    mine('ours, random', { ports: 'random' }, apd, apd),
    mine('ours as RFC 4787 has it', { behaviour: 'rfc4787' }, ei, NAMES['address-dependent']),
    ...BEHAVIOURS.flatMap((mapping) =>
      BEHAVIOURS.map((filtering) =>
        mine(
          `ours: mapping ${mapping}, filtering ${filtering}`,
          { mapping, filtering },
          NAMES[mapping],
          NAMES[filtering],
        ),
      ),
    ),
  ]
  it.concurrent.for(cases)('$name', { timeout: 90_000 }, async ({ join, says }, { skip, expect }) => {
    const why = noKernel || missing('turnserver', 'turnutils_natdiscovery')
    if (why) skip(why)
    const lab = await natLab(join)
    try {
      const { mapping, filtering } = await discover(lab)
      expect([mapping, filtering]).toEqual(says)
    } finally {
      await lab.close()
    }
  })
})

/** The outside ports that a run of natdiscovery has seen. */
const reflexive = (text: string): string[] =>
  Array.from(text.matchAll(/reflexive addr: 203\.0\.113\.1:(\d+)/g), ([, p]) => p as string)

describe('natdiscovery (RFC 5780), further', () => {
  const hairpin = oursBetween({ outbound: [{ behaviour: 'rfc4787', hairpin: true }] })
  const brief = oursBetween({ conntrack: { timeouts: { udp: 2 } } })
  const cases: { name: string; join: Parameters<typeof natLab>[0]; args: string; finds: (text: string) => unknown }[] =
    [
      { name: 'hairpin, where it is on', join: hairpin, args: '-H', finds: (t) => /successful hairpinning/.test(t) },
      { name: 'no hairpin, where it is not', join: oursBetween(), args: '-H', finds: (t) => !/successful/.test(t) },
      { name: 'no hairpin at the kernel’s', join: kernelBetween(), args: '-H', finds: (t) => !/successful/.test(t) },
      // A second request to the port, three seconds later and answered to another: does that still get there?
      { name: 'a mapping that has ended', join: brief, args: '-t -T 3', finds: (t) => reflexive(t).length === 1 },
      { name: 'a mapping that lasts', join: hairpin, args: '-t -T 3', finds: (t) => reflexive(t).length === 2 },
      ...[kernelBetween(), oursBetween(), hairpin].map((join, i) => ({
        name: `another port for a second host with the same: ${['the kernel', 'ours', 'ours, RFC 4787'][i]}`,
        join,
        args: '-c -A 10.22.0.12 -l 40000',
        finds: (t: string) => {
          const [one, two] = reflexive(t)
          return one === '40000' && two !== undefined && two !== '40000'
        },
      })),
      {
        name: 'the mapping of datagrams that come in fragments',
        join: oursBetween(),
        args: '-m -P',
        finds: (t) => /NAT with Endpoint Independent Mapping!/.test(t),
      },
    ]
  it.concurrent.for(cases)('$name', { timeout: 90_000 }, async ({ join, args, finds }, { skip, expect }) => {
    const why = noKernel || missing('turnserver', 'turnutils_natdiscovery')
    if (why) skip(why)
    const lab = await natLab(join)
    try {
      const text = await natdiscovery(lab, args)
      expect(finds(text), text).toBe(true)
    } finally {
      await lab.close()
    }
  })
})
