/** Where in a document something stands. */
export interface At {
  /** What the document is called: a file's name, or `endpoint`. */
  readonly document: string
  /** The JSON path: `$.Policies[2].Settings.Exceptions[0]`. */
  readonly path: string
}

/** What a document of HNS or of a Windows CNI plugin has that cannot be: names document, JSON path and value. The only error that reading
 * one throws. */
export class HnsError extends Error {
  readonly document: string
  readonly path: string
  /** What stands there; undefined where something is missing. */
  readonly value: unknown
  override readonly name = 'HnsError'

  constructor(at: At, value: unknown, message: string) {
    super(`${at.document}: ${at.path}: ${message}`)
    this.document = at.document
    this.path = at.path
    this.value = value
  }
}

/** Throws. */
export function refuse(at: At, value: unknown, message: string): never {
  throw new HnsError(at, value, message)
}

/** A value as messages show it: short. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = written(value)
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`
}

/** A value as JSON, where it is some. */
function written(value: unknown): string {
  try {
    return JSON.stringify(value) ?? typeof value
  } catch {
    // A circle, a number of any size, or too deep: what it is says enough.
    return typeof value
  }
}

/** The place of a key, or of an item, in an object or list. */
export function under(at: At, key: string | number): At {
  const step = typeof key === 'number' ? `[${key}]` : /^\w+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
  return { document: at.document, path: at.path + step }
}
