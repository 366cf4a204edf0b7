/** Codes of errors that CNI's specification gives (CNI 1.1, section 5). */
export const CniCode = {
  /** A version of the specification that is not known. */
  IncompatibleVersion: 1,
  /** A key, or a value of a key, that is not supported; the message names both. */
  UnsupportedField: 2,
  /** No JSON. */
  Undecodable: 6,
  /** A value that no configuration can have, or keys that do not go together. */
  InvalidConfig: 7,
} as const
export type CniCode = (typeof CniCode)[keyof typeof CniCode]

/** A configuration of CNI that cannot be used. */
export class CniError extends Error {
  override readonly name = 'CniError'
  readonly code: CniCode
  /** Where it is: `plugins[1].ipam.ranges[0][0].subnet`; empty for the whole. */
  readonly key: string

  constructor(code: CniCode, key: string, message: string) {
    super(key === '' ? message : `${key}: ${message}`)
    this.code = code
    this.key = key
  }

  /** The object that a plugin prints. */
  toJSON(): { code: number; msg: string } {
    return { code: this.code, msg: this.message }
  }
}
