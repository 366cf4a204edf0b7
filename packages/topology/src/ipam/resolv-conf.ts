/** What a result says of name servers (CNI 1.1, section 5). */
export interface Dns {
  readonly nameservers?: readonly string[]
  readonly domain?: string
  readonly search?: readonly string[]
  readonly options?: readonly string[]
}

/** Reads the text of a resolv.conf (resolv.conf(5)) as CNI's host-local does: the last `domain` counts, lists add up, a
 * line that says nothing else is passed over. */
export function parseResolvConf(text: string): Dns {
  const nameservers: string[] = []
  const search: string[] = []
  const options: string[] = []
  let domain: string | undefined
  for (const line of text.split('\n')) {
    const [key = '', first, ...more] = line.trim().split(/\s+/)
    if (/^[#;]/.test(key) || first === undefined) continue
    if (key === 'nameserver') nameservers.push(first)
    else if (key === 'domain') domain = first
    else if (key === 'search') search.push(first, ...more)
    else if (key === 'options') options.push(first, ...more)
  }
  return {
    ...(nameservers.length > 0 ? { nameservers } : {}),
    ...(domain === undefined ? {} : { domain }),
    ...(search.length > 0 ? { search } : {}),
    ...(options.length > 0 ? { options } : {}),
  }
}
