// Pods of Windows on overlay networks, and the kernel as the Linux nodes of the same clusters: its vxlan device, told where everything
// is as flannel and ovn-kubernetes' hybrid overlay tell it - nothing learnt, FDB and neighbours permanent (modes.md 4.4, 11).
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openCapture } from '@l2l3/switch-core/pcap'
import { linuxProblem, namespaceName, parseTopology, type RealWorld, upOnLinux } from '@l2l3/topology'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { dissect } from '../src/trace/dissect/dissect.ts'

/*
 *     web 10.244.1.5   other 10.244.1.5
 *      |  VNI 4096        |  VNI 4097
 *     ++------------------++ 192.0.2.1          192.0.2.3 +--------------------------------+
 *     | win  00:15:5d:..:01 +---------- lan --------------+ kernel: flannel.4096 02:..:03  | 10.244.3.5
 *     +--------------------+                  192.0.2.3   |         ext 4097  0a:58:..     | 10.244.4.5
 *                                                         +--------------------------------+
 */

const NAME = `ovl${process.pid}`
const KERNEL = `l2l3-overlay${process.pid}`
const DR = '00:15:5d:00:10:01'
const DEVICES = [
  { net: 'blue', vni: 4096, device: 'flannel.4096', mac: '02:00:00:00:10:03', own: '10.244.3', pod: 'web' },
  { net: 'hybrid', vni: 4097, device: 'ext.4097', mac: '0a:58:0a:f4:04:03', own: '10.244.4', pod: 'other' },
] as const
const TEXT = `
name: ${NAME}
segments: { lan: {} }
nodes:
  win:
    mode: overlay
    uplink: { segment: lan, mac: 00:15:5d:00:00:01, ip: 192.0.2.1/24 }
    drMac: ${DR}
    networks:
${DEVICES.map(
  ({ net, vni, mac, own }) =>
    `      ${net}: { vni: ${vni}, subnet: 10.244.1.0/24, remoteSubnets: [{ to: ${own}.0/24, providerAddress: 192.0.2.3, drMac: "${mac}" }] }`,
).join('\n')}
    endpoints:
${DEVICES.map(({ net, pod }) => `      ${pod}: { network: ${net}, ip: 10.244.1.5/24, mtu: 1450 }`).join('\n')}
`

const problem = await linuxProblem()
const nodeArguments = ['--conditions=@l2l3/source', '--import', createRequire(import.meta.url).resolve('tsx')]
const TCP = fileURLToPath(new URL('../programs/tcp.mjs', import.meta.url))
const topology = parseTopology(TEXT, 'overlay.yaml')
const lan = namespaceName(topology, { name: 'lan' })
const directory = problem === null ? mkdtempSync(join(tmpdir(), 'l2l3-overlay-')) : ''
let world: RealWorld

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] })
}

/** What a program in a namespace says until it has ended. */
function run(
  netns: string,
  ...command: string[]
): { said: Promise<string>; text: () => string; pid: number | undefined } {
  const child = spawn('ip', ['netns', 'exec', netns, ...command], { stdio: ['pipe', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (text += data))
  const said = new Promise<string>((resolve) => child.on('close', () => resolve(text)))
  return { said, text: () => text, pid: child.pid }
}

async function until(what: string, done: () => boolean): Promise<void> {
  for (let i = 0; i < 3000; i++) {
    if (done()) return
    await sleep(10)
  }
  throw new Error(`it never came to pass: ${what}`)
}

/** Makes the kernel's node, as flannel's daemon would: order ARP, FDB, route. */
function kernel(): void {
  ip('netns', 'add', KERNEL)
  ip('-n', KERNEL, 'link', 'set', 'lo', 'up')
  ip('-n', KERNEL, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'kernel', 'netns', lan)
  ip('-n', lan, 'link', 'set', 'kernel', 'master', 'br0', 'up')
  ip('-n', KERNEL, 'addr', 'add', '192.0.2.3/24', 'dev', 'eth0')
  ip('-n', KERNEL, 'link', 'set', 'eth0', 'up')
  for (const [i, { vni, device, mac, own }] of DEVICES.entries()) {
    const vxlan = ['id', String(vni), 'dstport', '4789', 'local', '192.0.2.3', 'dev', 'eth0', 'nolearning']
    ip('-n', KERNEL, 'link', 'add', device, 'address', mac, 'mtu', '1450', 'type', 'vxlan', ...vxlan)
    ip('-n', KERNEL, 'addr', 'add', `${own}.0/32`, 'dev', device)
    ip('-n', KERNEL, 'link', 'set', device, 'up')
    ip('-n', KERNEL, 'addr', 'add', `${own}.5/32`, 'dev', 'lo')
    ip('-n', KERNEL, 'neigh', 'replace', '10.244.1.0', 'lladdr', DR, 'dev', device, 'nud', 'permanent')
    execFileSync('bridge', ['-n', KERNEL, 'fdb', 'append', DR, 'dev', device, 'dst', '192.0.2.1'])
    // Both networks have the same subnet: who speaks says which is meant.
    const table = String(100 + i)
    ip('-n', KERNEL, 'route', 'add', '10.244.1.0/24', 'via', '10.244.1.0', 'dev', device, 'onlink', 'table', table)
    ip('-n', KERNEL, 'rule', 'add', 'from', `${own}.5`, 'lookup', table)
  }
}

/** What passed the segment while `work` was done, outer and inner fields. */
async function captured(work: () => Promise<void>): Promise<Map<string, string>[]> {
  const file = join(directory, 'lan.pcap')
  const tcpdump = run(lan, 'tcpdump', '--immediate-mode', '-U', '-i', 'br0', '-w', file, 'udp port 4789')
  await until('tcpdump listens', () => tcpdump.text().includes('listening'))
  await work()
  await sleep(100)
  if (tcpdump.pid !== undefined) process.kill(tcpdump.pid, 'SIGINT')
  await tcpdump.said
  return Array.from(openCapture([readFileSync(file)], { file }), ({ data }) => {
    const fields = new Map<string, string>()
    const times = new Map<string, number>()
    for (const { name, value } of dissect(data).flatMap((layer) => layer.fields)) {
      const n = (times.get(name) ?? 0) + 1
      times.set(name, n)
      fields.set(n === 1 ? name : `${n}:${name}`, value)
    }
    return fields
  })
}

const pick = (frame: Map<string, string> | undefined, ...names: string[]): (string | undefined)[] =>
  names.map((name) => frame?.get(name))

describe('overlay pods and the kernel', { timeout: 60_000 }, () => {
  beforeAll(async () => {
    if (problem !== null) return
    world = await upOnLinux(topology, { real: true, nodeArguments })
    kernel()
  }, 60_000)
  afterAll(async () => {
    if (problem !== null) return
    await world?.close()
    if (existsSync(`/run/netns/${KERNEL}`)) ip('netns', 'del', KERNEL)
    rmSync(directory, { recursive: true, force: true })
  })
  beforeEach((context) => {
    if (problem !== null) context.skip(problem)
  })

  it.each(DEVICES)('$net: ping, both ways, with the MACs and the TTL that both expect', async (one) => {
    const { vni, mac, own, pod } = one
    const netns = namespaceName(topology, { name: pod })
    for (const [from, to, source] of [
      [netns, `${own}.5`, '10.244.1.5'],
      [KERNEL, '10.244.1.5', `${own}.5`],
    ] as const) {
      const frames = await captured(async () => {
        const ping = run(from, 'ping', '-n', '-c', '1', '-W', '2', '-I', source, to)
        expect(await ping.said).toContain('1 received')
      })
      const toKernel = frames.find((f) => f.get('ip.src') === '192.0.2.1')
      const toPod = frames.find((f) => f.get('ip.src') === '192.0.2.3')
      expect(frames).toHaveLength(2)
      // Outside: VFP's profile, and the kernel's.
      const outside = ['ip.dst', 'ip.ttl', 'udp.dstport', 'udp.checksum', 'vxlan.vni']
      expect(pick(toKernel, ...outside)).toEqual(['192.0.2.3', '128', '4789', '0x0000', String(vni)])
      expect(pick(toPod, 'ip.dst', 'ip.ttl', 'udp.dstport', 'vxlan.vni')).toEqual([
        '192.0.2.1',
        '64',
        '4789',
        String(vni),
      ])
      // Inside: from router to router; the TTL lost one where Windows' router sent it on, and none where the kernel's pod is the kernel.
      const inside = ['2:eth.src', '2:eth.dst', '2:ip.src', '2:ip.dst', '2:ip.ttl']
      expect(pick(toKernel, ...inside)).toEqual([DR, mac, '10.244.1.5', `${own}.5`, '63'])
      expect(pick(toPod, ...inside)).toEqual([mac, DR, `${own}.5`, '10.244.1.5', '64'])
    }
  })

  it.each(DEVICES)('$net: TCP, both ways, intact', async ({ own, pod, device }) => {
    // Of the kernel's pods the one in this network speaks.
    const way = ['via', '10.244.1.0', 'dev', device, 'onlink', 'src', `${own}.5`]
    ip('-n', KERNEL, 'route', 'replace', '10.244.1.0/24', ...way)
    const netns = namespaceName(topology, { name: pod })
    for (const [from, to, address] of [
      [KERNEL, netns, '10.244.1.5'],
      [netns, KERNEL, `${own}.5`],
    ] as const) {
      const server = run(to, process.execPath, TCP, 'serve', address, '5001')
      await until('the server listens', () => server.text().includes('port'))
      const client = run(from, process.execPath, TCP, 'send', address, '5001', '5000000')
      await client.said
      expect(await server.said).toContain('"bytes":5000000,"intact":true')
    }
    expect((await world.snapshot()).ledger.balanced).toBe(true)
  })

  it('takes nothing that is for another MAC than its router’s', async () => {
    const { device } = DEVICES[0]
    execFileSync('bridge', ['-n', KERNEL, 'fdb', 'append', '02:00:00:00:00:99', 'dev', device, 'dst', '192.0.2.1'])
    ip('-n', KERNEL, 'neigh', 'replace', '10.244.1.0', 'lladdr', '02:00:00:00:00:99', 'dev', device, 'nud', 'permanent')
    const ping = run(KERNEL, 'ping', '-n', '-c', '1', '-W', '1', '-I', '10.244.3.5', '10.244.1.5')
    expect(await ping.said).toContain('0 received')
    ip('-n', KERNEL, 'neigh', 'replace', '10.244.1.0', 'lladdr', DR, 'dev', device, 'nud', 'permanent')
    expect((await world.snapshot()).ledger.dropped).toMatchObject({ OtherHost: 1 })
  })
})
