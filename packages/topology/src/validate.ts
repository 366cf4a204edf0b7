import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { didYouMean } from './did-you-mean.ts'
import type { Path, TopologyDocument } from './document.ts'
import { MODES } from './mode.ts'
import { topologySchema } from './schema.ts'
import type { Problem } from './topology-error.ts'

/* Checks a document against the schema, and says what the validator found as a person would. */

/** Validators by the modes that they know, since most of the time of a first one goes into modes that a file has not. */
const validators = new Map<string, ValidateFunction>()

function validatorFor(value: unknown): ValidateFunction {
  const nodes = isRecord(value) && isRecord(value.nodes) ? Object.values(value.nodes) : []
  const named = new Set(nodes.map((node) => (isRecord(node) ? node.mode : undefined)))
  const modes = new Map(Array.from(MODES).filter(([name]) => named.has(name)))
  const key = [...modes.keys()].join(' ')
  let validator = validators.get(key)
  if (validator === undefined) {
    // Ajv's optimizer takes longer over a schema than all else that is done to read a file.
    const options = { allErrors: true, verbose: true, allowUnionTypes: true, strictRequired: false }
    validator = new Ajv({ ...options, code: { optimize: false } }).compile(topologySchema(modes))
    validators.set(key, validator)
  }
  return validator
}

/** Problems that the schema finds; none where the document fits. */
export function validate(doc: TopologyDocument): Problem[] {
  const compiled = validatorFor(doc.value)
  if (compiled(doc.value)) return []
  const problems: Problem[] = []
  for (const error of compiled.errors ?? []) {
    const problem = explain(doc, error, compiled.errors as ErrorObject[])
    // A value can be wrong in two ways that read the same.
    if (problem !== null && !problems.some((p) => p.key === problem.key && p.message === problem.message)) {
      problems.push(problem)
    }
  }
  return problems
}

function explain(doc: TopologyDocument, error: ErrorObject, all: readonly ErrorObject[]): Problem | null {
  const path = pathOf(doc.value, error.instancePath)
  const { keyword, params, schemaPath } = error
  const schema = (error.parentSchema ?? {}) as Record<string, unknown>
  if (ofAnotherWay(error, all)) return null
  switch (keyword) {
    case 'if':
    case 'anyOf':
      return null
    case 'required':
      // Inside a oneOf it is one way of several: the oneOf says it.
      if (/\/oneOf\//.test(schemaPath)) return null
      return doc.problem(path, `the key "${params.missingProperty}" is missing`, 'key')
    case 'oneOf': {
      // A way that asks for the absence of another's key is a special case of it.
      const plain = (schema.oneOf as { required: string[]; not?: unknown }[]).filter((way) => way.not === undefined)
      const ways = plain.map((way) => way.required[0])
      if (!isRecord(error.data)) return null
      const typo = all.some((e) => e.keyword === 'additionalProperties' && e.instancePath === error.instancePath)
      return typo ? null : doc.problem(path, `expected exactly one of the keys ${ways.join(', ')}`, 'key')
    }
    case 'dependencies':
      return doc.problem([...path, params.property], `needs the key "${params.deps}" beside it`, 'key')
    case 'additionalProperties': {
      const known = Object.keys(schema.properties as object)
      const key = params.additionalProperty as string
      const hint = didYouMean(key, known) || `; expected one of ${known.join(', ')}`
      return doc.problem([...path, key], `unknown key "${key}"${hint}`, 'key')
    }
    case 'propertyNames':
      return null
    case 'pattern':
      if (error.propertyName !== undefined) {
        const expected = 'up to 32 letters, digits, "-" and "_", starting with a letter or digit'
        return doc.problem(
          [...path, error.propertyName],
          `expected a name of ${expected}, not "${error.propertyName}"`,
          'key',
        )
      }
      return doc.problem(path, `expected ${expected(path, schema)}, not ${show(error.data)}`)
    case 'minItems':
    case 'maxItems':
      if (schema.maxItems === 2) return notAPair(doc, path, error)
      return doc.problem(path, 'expected at least one item, not an empty list')
    case 'minProperties':
      return doc.problem(path, 'expected at least one, not an empty map')
    case 'enum': {
      const values = params.allowedValues as unknown[]
      const hint = typeof error.data === 'string' ? didYouMean(error.data, values.map(String)) : ''
      if (path.at(-1) === 'expect') {
        return doc.problem(path, `expected "pass", "fail" or { drop: REASON }, not ${show(error.data)}${hint}`)
      }
      if (path.at(-1) === 'drop') {
        return doc.problem(path, `expected the reason of a drop, such as NoRoute, not ${show(error.data)}${hint}`)
      }
      return doc.problem(path, `expected ${oneOf(values.map(show))}, not ${show(error.data)}${hint}`)
    }
    case 'minimum':
    case 'maximum':
    case 'exclusiveMinimum': {
      const low = schema.minimum ?? `above ${schema.exclusiveMinimum}`
      return doc.problem(path, `expected a number from ${low} to ${schema.maximum}, not ${show(error.data)}`)
    }
    case 'maxLength':
      return doc.problem(path, `expected a text of ${schema.maxLength} characters at most`)
    case 'multipleOf':
      return doc.problem(path, `expected a multiple of ${params.multipleOf}, not ${show(error.data)}`)
    case 'type':
      if (WIRE.includes(String(path.at(-1)))) {
        return doc.problem(path, `expected ${expected(path, schema)}, not ${show(error.data)}`)
      }
      return doc.problem(path, `expected ${numberOrWord(schema) ?? types(params.type)}, not ${show(error.data)}`)
    default:
      return doc.problem(path, error.message ?? keyword)
  }
}

/**
 * Whether an error is about the way to write something that was not meant: where there are two, the second is a map, and a
 * value that is a map means it.
 */
function ofAnotherWay(error: ErrorObject, all: readonly ErrorObject[]): boolean {
  const [, before, way] = /^(.*\/anyOf\/)([01])(\/|$)/.exec(error.schemaPath) ?? []
  if (way === undefined) return false
  const outer = all.find(({ keyword, schemaPath, instancePath }) => {
    return keyword === 'anyOf' && before === `${schemaPath}/` && error.instancePath.startsWith(instancePath)
  })
  return outer !== undefined && way !== (isRecord(outer.data) ? '1' : '0')
}

/** "a", "a or b", "a, b or c". */
function oneOf(words: readonly string[]): string {
  return words.length < 3 ? words.join(' or ') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

function notAPair(doc: TopologyDocument, path: Path, error: ErrorObject): Problem {
  const n = (error.data as unknown[]).length
  return doc.problem(path, `expected a pair of ports, [node/port, node/port], not ${n === 1 ? 'one' : n}`)
}

function expected(path: Path, schema: Record<string, unknown>): string {
  const key = path.at(-1)
  if (path.length === 1 && key === 'name') {
    return 'a name of up to 32 letters, digits, "-" and "_", starting with a letter or digit'
  }
  if (key === 'bytes') return 'a number of bytes such as 1000000 or "10 MB"'
  if (FRACTIONS.includes(String(key))) return 'a fraction from 0 to 1, or such as "1%"'
  if (key === 'delay' || key === 'jitter') return 'a time such as "5 ms" or "200 us"'
  if (key === 'url') return 'a path such as "/" or "/index.html"'
  if (key === 'sportRange') return 'a range of ports such as "49152-65535"'
  if (key === 'data') return 'up to 124 bytes in hexadecimal, a multiple of four'
  if (path.includes('vlan')) return 'a VLAN id from 1 to 4094 or a range such as "20-29"'
  if (key === 'name') return 'the name of an interface: up to 15 letters, digits, "-", "_" and "."'
  return numberOrWord(schema) ?? portOrRange(schema) ?? `text that matches ${schema.pattern}`
}

/** Keys whose values are fractions, and all that say what a wire does. */
const FRACTIONS: readonly string[] = ['loss', 'duplicate', 'corrupt', 'reorder']
const WIRE: readonly string[] = [...FRACTIONS, 'delay', 'jitter']

/** What a value is that is a number or one certain word: 'a number or "inherit"'. */
function numberOrWord({ type, pattern }: Record<string, unknown>): string | undefined {
  const word = /^\^([a-z]+)\$$/.exec(String(pattern))?.[1]
  if (word === undefined) return undefined
  return Array.isArray(type) ? `a number or "${word}"` : `"${word}"`
}

/** What a value is that is a port or a range of them: the one pattern of that kind. */
function portOrRange({ pattern }: Record<string, unknown>): string | undefined {
  return pattern === '^[0-9]{1,5}(-[0-9]{1,5})?$' ? 'a port or a range such as "5000-5009"' : undefined
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  object: 'a map',
  array: 'a list',
}

function types(type: string | string[]): string {
  return [type]
    .flat()
    .flatMap((t) => t.split(','))
    .map((t) => TYPES[t] ?? t)
    .join(' or ')
}

/** Shows a value in a sentence, cut where it is long. */
function show(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (isRecord(value)) return 'a map'
  // JSON has no word for .nan and .inf.
  const text = typeof value === 'number' ? String(value) : JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 57)}..."` : text
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Turns a JSON pointer into a path, with indices of lists as numbers. */
function pathOf(value: unknown, pointer: string): Path {
  const path: (string | number)[] = []
  let at = value
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    path.push(Array.isArray(at) ? Number(key) : key)
    at = (at as Record<string, unknown>)[key]
  }
  return path
}
