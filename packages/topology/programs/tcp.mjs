// A TCP transfer between two namespaces, run by `l2l3 up --check` in each of them:
//
//   node tcp.mjs serve ADDRESS [PORT]            says {"port":N}, then {"bytes":N,"intact":true,"seconds":S}
//   node tcp.mjs send ADDRESS PORT BYTES         says {"sent":N}
//
// The payload is a block of pseudo-random bytes over and over, whose length is a prime, so that a piece that is lost,
// doubled or out of its place does not fit; the server compares every byte. It ends when its standard input does: with
// the process that started it.
import { connect, createServer } from 'node:net'

const BLOCK = pattern(65_521)
// Twice the block: any piece of up to its length, from any place of it, lies in one row.
const ROW = Buffer.concat([BLOCK, BLOCK])

const [, , role, address, port, bytes] = process.argv
process.stdin.on('end', () => process.exit(2)).resume()
if (role === 'serve') serve()
else send(Number(bytes))

function pattern(length) {
  const block = Buffer.alloc(length)
  for (let i = 0, x = 1; i < length; i++) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0
    block[i] = x >>> 16
  }
  return block
}

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

function fail(error) {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}

function serve() {
  const server = createServer((socket) => {
    server.close()
    let received = 0
    let intact = true
    const started = performance.now()
    socket.on('data', (chunk) => {
      for (let at = 0; at < chunk.length; ) {
        const from = received % BLOCK.length
        const n = Math.min(BLOCK.length, chunk.length - at)
        if (chunk.compare(ROW, from, from + n, at, at + n) !== 0) intact = false
        received += n
        at += n
      }
    })
    socket.on('error', fail)
    socket.on('end', () => {
      say({ bytes: received, intact, seconds: (performance.now() - started) / 1000 })
      socket.end(() => process.exit(0))
    })
  })
  server.on('error', fail)
  server.listen({ host: address, port: Number(port ?? 0) }, () => say({ port: server.address().port }))
}

function send(total) {
  const socket = connect({ host: address, port: Number(port) })
  let sent = 0
  const more = () => {
    while (sent < total) {
      const from = sent % BLOCK.length
      const n = Math.min(BLOCK.length, total - sent)
      sent += n
      if (!socket.write(ROW.subarray(from, from + n))) return
    }
    socket.end()
  }
  socket.on('connect', more)
  socket.on('drain', more)
  socket.on('error', fail)
  socket.on('data', () => {})
  socket.on('close', () => {
    say({ sent })
    process.exit(0)
  })
}
