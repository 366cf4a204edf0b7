import { FramePool, MAX_FRAME } from '@l2l3/switch-core'
import { portCompliance } from '@l2l3/switch-core/compliance'
import { TapPort } from '@l2l3/tap-io'
import { describe, it } from 'vitest'
import { frameOf, ip, namespace, needsTun, receive, removeNamespace, send } from './lab.ts'

/*
 *     port under test -- tap -- bridge of the kernel -- tap -- the far side, without offloads
 *
 * The kernel completes and cuts what the port leaves to it, so that the far side sees what would be on the wire.
 */
needsTun()

for (const offloads of [false, true]) {
  describe(`a TAP port ${offloads ? 'with' : 'without'} offloads complies`, () => {
    function make() {
      const netns = namespace()
      ip('-n', netns, 'link', 'add', 'br0', 'mtu', '9000', 'type', 'bridge')
      ip(
        'netns',
        'exec',
        netns,
        'sh',
        '-c',
        'echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null || true',
      )
      ip('-n', netns, 'link', 'set', 'br0', 'up')
      const pool = new FramePool({ frames: 300, frameSize: offloads ? MAX_FRAME : 1918 })
      const far = new FramePool({ frames: 64, frameSize: 9000 })
      const port = TapPort.open(pool, { name: 'under-test', netns, mtu: 9000 })
      const other = TapPort.open(far, { name: 'far', netns, mtu: 9000 })
      for (const dev of ['under-test', 'far']) ip('-n', netns, 'link', 'set', dev, 'master', 'br0')
      return {
        port,
        maxFrame: offloads ? 9000 : 1918,
        patience: 30,
        inject(bytes: Uint8Array): boolean {
          if (bytes.length < 14 || bytes.length > 9000) return false
          send(other, frameOf(far, bytes))
          return true
        },
        taken: () => receive(other),
        close(): void {
          other.close()
          removeNamespace(netns)
        },
      }
    }
    for (const { name, run } of portCompliance(make)) it(name, run)
  })
}
