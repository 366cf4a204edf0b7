/* What a configuration made by hand gets wrong: a word that nobody knows, something else than an object. */

/** Throws a TypeError for what is no object. */
export function checkObject(key: string, o: unknown): void {
  if (typeof o !== 'object' || o === null) throw new TypeError(`${key} must be an object, not ${JSON.stringify(o)}`)
}

/** Throws a TypeError for an object with a key that is none of `known`.
 * @param where what its keys are in, in front of the message: empty, or `portMappings[0]: ` */
export function checkKeys(where: string, o: object, known: readonly string[]): void {
  for (const k of Object.keys(o))
    if (!known.includes(k)) throw new TypeError(`${where}unknown key ${JSON.stringify(k)}`)
}
