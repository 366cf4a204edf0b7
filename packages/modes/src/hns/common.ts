import { type Field, host, listOf, prefix, shape, text, whole } from './shape.ts'

/*
 * What documents of HNS have in common.
 */

/** Schema of a document: 1, HNS' own, or 2, that of HCN (`hcsshim/hcn`). */
export type HnsSchema = 1 | 2

/** What a document asks for that is not there here. */
export interface Unsupported {
  /** Where it stands. */
  readonly path: string
  /** What it is: a policy's type, a network's. */
  readonly what: string
  readonly why: string
}

/** How documents are read. */
export interface HnsReadOptions {
  /** Whether what is not supported here is an error that names it, or is listed and passed over. Default `refuse`. */
  unsupported?: 'refuse' | 'list'
}

/** Keys that every document may have and nobody here needs: what HNS says of an object when it is asked. */
export const BASE_KEYS: readonly string[] = [
  'Owner',
  'Version',
  'AdditionalParams',
  'Health',
  'Telemetry',
  'State',
  'ActivityId',
  'Resources',
  'ObjectType',
]

/** `{ Major, Minor }`. */
export interface Version {
  Major?: number
  Minor?: number
}
/** A schema version: 1 or 2 counts. */
export const version: Field<Version> = shape<Version>({ Major: whole(0, 2), Minor: whole(0, 1000) })

/** A route of a subnet or an endpoint. */
export interface RouteDocument {
  NextHop?: string
  DestinationPrefix?: string
  Metric?: number
}
export const route: Field<RouteDocument> = shape<RouteDocument>({
  NextHop: host,
  DestinationPrefix: prefix,
  Metric: whole(0, 65_535),
})

/** DNS of the second schema. */
export interface DnsDocument {
  Domain?: string
  Suffix?: string
  Search?: string[]
  ServerList?: string[]
  Options?: string[]
}
export const dnsDocument: Field<DnsDocument> = shape<DnsDocument>({
  Domain: text,
  Suffix: text,
  Search: listOf(text),
  ServerList: listOf(host),
  Options: listOf(text),
})

/** A route, in one form. */
export interface HnsRoute {
  readonly prefix: string
  readonly nextHop: string | null
  readonly metric: number
}

/** Makes a route of its document; without a destination it is the default one of its next hop's family. */
export function routeOf({ NextHop, DestinationPrefix, Metric }: RouteDocument): HnsRoute {
  const any = NextHop?.includes(':') === true ? '::/0' : '0.0.0.0/0'
  return { prefix: DestinationPrefix ?? any, nextHop: NextHop ?? null, metric: Metric ?? 0 }
}

/** DNS settings, in one form. */
export interface HnsDns {
  readonly domain: string | null
  readonly search: readonly string[]
  readonly servers: readonly string[]
  readonly options: readonly string[]
}

/** Makes DNS settings of their document. */
export function dnsOf({ Domain, Suffix, Search, ServerList, Options }: DnsDocument = {}): HnsDns {
  return { domain: Domain ?? Suffix ?? null, search: Search ?? [], servers: ServerList ?? [], options: Options ?? [] }
}

/** A list in text, with commas. */
export function commas(list: string | undefined): string[] {
  return (list ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

/** An ID, or null. */
export function idOf(id: string | undefined): string | null {
  return id ?? null
}
