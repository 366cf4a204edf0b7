/*
 * A program that the tests run where there is no kcmp(): a UDP socket's descriptor is closed under its port and its number given
 * to a file, and another's is left alone. Says what the ports say of it, and whether the file is open in the end.
 */
import { closeSync, fstatSync, openSync } from 'node:fs'
import { FramePool } from '@l2l3/switch-core'
import { UdpUnderlayPort } from '@l2l3/tap-io'

const open = () => UdpUnderlayPort.open(new FramePool({ frames: 2 }), { address: '127.0.0.1', port: 0, sockets: 1 })
const [port, other, whole] = [open(), open(), open()]
const [file, socket] = [port.fd, other.fd]
closeSync(file)
const same = openSync('/dev/null', 'r') === file
closeSync(socket)
const stranger = open()
whole.check()
port.check()
port.close()
other.close()
stranger.check()
console.log(
  JSON.stringify({
    same: same && stranger.fd === socket,
    whole: whole.failure?.message ?? null,
    port: port.failure?.message ?? null,
    stranger: stranger.failure?.message ?? null,
    open: fstatSync(file).isCharacterDevice(),
  }),
)
whole.close()
stranger.close()
