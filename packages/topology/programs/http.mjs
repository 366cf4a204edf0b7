// HTTP between two namespaces, run by `l2l3 up --check` in each of them:
//
//   node http.mjs serve ADDRESS PORT URL STATUS BASE64     says {"port":N}; answers GET URL with that status and text
//   node http.mjs get URL                                  says the text, a line feed, the status
//
// `get` is for machines without curl. It ends when its standard input does: with the process that started it.
import { createServer, get } from 'node:http'

const [, , role, ...rest] = process.argv
process.stdin.on('end', () => process.exit(2)).resume()
if (role === 'serve') serve(...rest)
else ask(...rest)

function fail(error) {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}

function serve(address, port, url, status, base64) {
  const body = Buffer.from(base64, 'base64')
  const server = createServer((request, response) => {
    const known = request.method === 'GET' && request.url === url
    response.writeHead(known ? Number(status) : 404, { 'content-type': 'text/plain; charset=utf-8' })
    response.end(known ? body : 'there is nothing here\n')
  })
  server.on('error', fail)
  server.listen({ host: address, port: Number(port) }, () => {
    process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`)
  })
}

function ask(url) {
  const request = get(url, (response) => {
    let text = ''
    response.setEncoding('utf8').on('data', (data) => {
      text += data
    })
    response.on('error', fail)
    response.on('end', () => {
      process.stdout.write(`${text}\n${response.statusCode}`, () => process.exit(0))
    })
  })
  request.on('error', fail)
}
