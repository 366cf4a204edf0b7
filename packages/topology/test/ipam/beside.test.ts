import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { addonAvailable } from '@l2l3/tap-io'
import { describe, expect, it } from 'vitest'
import type { IpamResult } from '../../src/ipam/host-local.ts'
import { ann, ben, blue, dataDir, files } from './lab.ts'

/*
 * Beside CNI's own host-local plugin (Debian: containernetworking-plugins), on the same directory: each goes on where the
 * other has stopped, sees what the other has given out and gives it back; at the same moment they wait for each other.
 */

const PLUGIN = ['/usr/lib/cni/host-local', '/opt/cni/bin/host-local'].find((path) => existsSync(path)) ?? ''
const RANGES = [[{ subnet: '10.1.0.0/28' }], [{ subnet: 'fd00::/64', rangeEnd: 'fd00::8' }, { subnet: 'fd00:1::/64' }]]

interface Said {
  readonly status: number | null
  readonly ips: string[]
  readonly msg: string
}

/** Calls the plugin as a runtime does. */
function plugin(place: string, command: string, who: string, ranges: unknown = RANGES, args = ''): Promise<Said> {
  const ipam = { type: 'host-local', dataDir: place, ranges }
  const env = {
    ...{ CNI_COMMAND: command, CNI_CONTAINERID: who, CNI_NETNS: '/none', CNI_IFNAME: 'eth0', CNI_PATH: '/none' },
    CNI_ARGS: args,
  }
  return new Promise((resolve, reject) => {
    const child = spawn(PLUGIN, { env, stdio: ['pipe', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (data) => (text += data))
    child.on('error', reject).on('close', (status) => {
      const said = (text === '' ? {} : JSON.parse(text)) as { ips?: IpamResult['ips']; msg?: string }
      resolve({ status, ips: said.ips?.map((ip) => `${ip.address} by ${ip.gateway}`) ?? [], msg: said.msg ?? '' })
    })
    child.stdin.end(JSON.stringify({ cniVersion: '1.0.0', name: 'blue', type: 'bridge', ipam }))
  })
}

const given = ({ ips }: IpamResult): string[] => ips.map((ip) => `${ip.address} by ${ip.gateway}`)

describe.skipIf(PLUGIN === '')(
  `beside the plugin${PLUGIN === '' ? ' (missing: containernetworking-plugins)' : ''}`,
  () => {
    it('goes on where it has stopped, and the other way round', async () => {
      const place = dataDir()
      const ipam = blue({ ranges: RANGES }, place)
      const turns: string[][] = []
      for (let i = 0; i < 12; i++) {
        const who = `c${i}`
        turns.push(
          i % 2 === 0
            ? (await plugin(place, 'ADD', who)).ips
            : given(await ipam.add({ containerId: who, ifname: 'eth0' })),
        )
      }
      expect(turns).toEqual(
        Array.from({ length: 12 }, (_, i) => [
          `10.1.0.${2 + i}/28 by 10.1.0.1`,
          i < 7 ? `fd00::${2 + i}/64 by fd00::1` : `fd00:1::${(i - 5).toString(16)}/64 by fd00:1::1`,
        ]),
      )
      // Both give back what the other has given out, and find that it is gone.
      await ipam.del({ containerId: 'c0', ifname: 'eth0' })
      expect((await plugin(place, 'CHECK', 'c0')).status).toBe(1)
      expect((await plugin(place, 'DEL', 'c1')).status).toBe(0)
      expect(await ipam.check({ containerId: 'c1', ifname: 'eth0' })).toBe(false)
      expect((await plugin(place, 'CHECK', 'c3')).status).toBe(0)
      expect(await ipam.check({ containerId: 'c2', ifname: 'eth0' })).toBe(true)
    })

    it('keeps the same files', async () => {
      const [theirs, ours] = [dataDir(), dataDir()]
      const ipam = blue({ ranges: RANGES }, ours)
      for (const who of [ann, ben]) {
        await plugin(theirs, 'ADD', who.containerId)
        await ipam.add(who)
      }
      await plugin(theirs, 'DEL', 'ann')
      await ipam.del(ann)
      expect(files(ours)).toEqual(files(theirs))
    })

    it('refuses what it refuses, and leaves the same behind', async () => {
      const small = [[{ subnet: '10.1.0.0/30' }], [{ subnet: 'fd00::/64', rangeStart: 'fd00::5', rangeEnd: 'fd00::5' }]]
      const [theirs, ours] = [dataDir(), dataDir()]
      const ipam = blue({ ranges: small }, ours)
      const said: [string, boolean, boolean][] = []
      const both = async (what: string, who: typeof ann, requested: readonly string[] = []) => {
        const args = requested.length === 0 ? '' : `IP=${requested[0]}`
        const { status } = await plugin(theirs, 'ADD', who.containerId, small, args)
        const fits = await ipam.add(who, { requested }).then(
          () => true,
          () => false,
        )
        said.push([what, status === 0, fits])
        expect(files(ours)).toEqual(files(theirs))
      }
      await both('the gateway', ann, ['10.1.0.1'])
      await both('the only two', ann, ['10.1.0.2'])
      await both('again', ann)
      await both('taken', ben, ['10.1.0.2'])
      await both('no more', ben)
      expect(said).toEqual([
        ['the gateway', false, false],
        ['the only two', true, true],
        ['again', false, false],
        ['taken', false, false],
        ['no more', false, false],
      ])
    })

    it.skipIf(!addonAvailable().ok)('waits for it, and it for us (without the addon there is no lock)', async () => {
      const place = dataDir()
      const wide = [[{ subnet: '10.1.0.0/24' }]]
      const ipam = blue({ ranges: wide }, place)
      const all = await Promise.all(
        Array.from({ length: 40 }, async (_, i) => {
          const who = `c${i}`
          if (i % 2 === 0) return (await plugin(place, 'ADD', who, wide)).ips[0]
          return given(await ipam.add({ containerId: who, ifname: 'eth0' }))[0]
        }),
      )
      // One after the other: none was passed over, none was given out twice.
      const numbers = all.map((text) => Number(/^10\.1\.0\.(\d+)/.exec(text ?? '')?.[1])).sort((a, b) => a - b)
      expect(numbers).toEqual(Array.from({ length: 40 }, (_, i) => 2 + i))
      expect(files(place)['last_reserved_ip.0']).toBe('10.1.0.41')
    })
  },
)
