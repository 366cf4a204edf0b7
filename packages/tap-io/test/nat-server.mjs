// A web server for the NAT tests: node nat-server.mjs ADDRESS PORT
//
//   /hello      one line
//   /who        who asks, as the server sees it: "203.0.113.1:40000"
//   /bytes/N    N bytes; /sum then gives the SHA-256 of what was sent last
import { createHash, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'

const BLOCK = randomBytes(1_000_003)
let sum = ''

createServer((request, response) => {
  const [, what, n] = request.url.split('/')
  if (what === 'hello') response.end('hello\n')
  else if (what === 'who') response.end(`${request.socket.remoteAddress}:${request.socket.remotePort}\n`)
  else if (what === 'sum') response.end(`${sum}\n`)
  else {
    const hash = createHash('sha256')
    let left = Number(n)
    response.setHeader('content-length', left)
    const more = () => {
      while (left > 0) {
        const piece = left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK
        left -= piece.length
        hash.update(piece)
        if (left === 0) sum = hash.digest('hex')
        if (!response.write(piece)) return response.once('drain', more)
      }
      response.end()
    }
    more()
  }
}).listen(Number(process.argv[3]), process.argv[2], () => console.log('ready'))
