import { createSocket } from 'node:dgram'
import { FramePool, MAX_FRAME, Offload } from '@l2l3/switch-core'
import { portCompliance } from '@l2l3/switch-core/compliance'
import { addonAvailable, UdpUnderlayPort } from '@l2l3/tap-io'
import { describe, it } from 'vitest'
import { InsideUdp, overhead } from './inside-udp.ts'

/*
 *     port under test -- sockets -- loopback -- a socket of Node's
 */
const built = addonAvailable()

for (const family of [4, 6] as const) {
  for (const send of ['rows', 'single'] as const) {
    for (const offloads of [0, Offload.Checksum | Offload.Tso4 | Offload.Uso]) {
      const what = `a UDP underlay over IPv${family}, ${send}, ${offloads ? 'with' : 'without'} offloads`
      describe.skipIf(!built.ok)(`${what}, complies`, () => {
        async function make() {
          const address = family === 4 ? '127.0.0.1' : '::1'
          const far = createSocket({ type: family === 4 ? 'udp4' : 'udp6', recvBufferSize: 4 << 20 })
          await new Promise<void>((done) => far.bind(0, address, done))
          const came: Uint8Array[] = []
          far.on('message', (bytes) => came.push(bytes.subarray(2)))
          const pool = new FramePool({ frames: 300, frameSize: offloads ? MAX_FRAME : 1918 + overhead(family) })
          const receive = offloads ? 'merge' : 'single'
          const inner = UdpUnderlayPort.open(pool, { address, port: 0, sockets: 3, send, receive, inside: 'vxlan' })
          const port = new InsideUdp(inner, { family, port: far.address().port }, offloads)
          return {
            port,
            maxFrame: offloads ? 9000 : 1918,
            patience: 50,
            async inject(bytes: Uint8Array): Promise<boolean> {
              const datagram = Buffer.concat([Buffer.alloc(2), bytes])
              const sent = await new Promise<boolean>((done) =>
                far.send(datagram, inner.info.port, address, (error) => done(error === null)),
              )
              return sent
            },
            async taken(): Promise<Uint8Array[]> {
              await new Promise((done) => setTimeout(done, 1))
              return came.splice(0)
            },
            close: () => new Promise<void>((done) => far.close(() => done())),
          }
        }
        for (const { name, run } of portCompliance(make)) it(name, run)
      })
    }
  }
}
