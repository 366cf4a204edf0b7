// Datagrams between two namespaces, run by `l2l3 up --check` in each of them:
//
//   node udp.mjs serve ADDRESS PORT                        says {"port":N}, then {"first":true} once; echoes (RFC 862)
//   node udp.mjs ask ADDRESS PORT COUNT BYTES SECONDS      says {"received":N,"intact":true,"rttMs":R}
//
// Payloads are random: what comes back is one that was sent, or one that came back already and was doubled on the way, or it
// was damaged. It ends when its standard input does: with the process that started it.
import { randomFillSync } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'

/** Milliseconds from one datagram to the next. */
const INTERVAL = 20

const [, , role, address, port, ...rest] = process.argv
process.stdin.on('end', () => process.exit(2)).resume()
const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
socket.on('error', fail)
if (role === 'serve') serve()
else ask(...rest.map(Number))

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

function fail(error) {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}

function serve() {
  let first = true
  socket.on('message', (data, from) => {
    if (first) say({ first })
    first = false
    // What cannot be sent back is for the client to miss.
    socket.send(data, from.port, from.address, () => {})
  })
  socket.bind(Number(port), address, () => say({ port: socket.address().port }))
}

function ask(count, bytes, seconds) {
  // By payload: when each was sent.
  const waiting = new Map()
  const back = []
  let sent = 0
  let damaged = 0
  const end = () => {
    const rttMs = back.length === 0 ? null : back.reduce((sum, ms) => sum + ms, 0) / back.length
    say({ received: back.length, intact: damaged === 0, rttMs })
    process.exit(0)
  }
  socket.on('message', (data) => {
    const times = waiting.get(data.toString('latin1'))
    if (times === undefined) damaged++
    else if (times.length > 0) back.push(performance.now() - times.shift())
    if (back.length === count) end()
  })
  const timer = setInterval(() => {
    const payload = randomFillSync(Buffer.alloc(bytes))
    const key = payload.toString('latin1')
    waiting.set(key, [...(waiting.get(key) ?? []), performance.now()])
    socket.send(payload, Number(port), address, (error) => {
      if (error) fail(error)
    })
    if (++sent < count) return
    clearInterval(timer)
    setTimeout(end, seconds * 1000)
  }, INTERVAL)
}
