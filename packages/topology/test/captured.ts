import { openCapture } from '@l2l3/switch-core/pcap'

/** The frames of a capture that went one way. */
export function capturedFrames(file: Uint8Array, way: 'inbound' | 'outbound'): Uint8Array[] {
  return Array.from(openCapture([file], { file: 'capture' }), ({ direction, data }) => ({ direction, data }))
    .filter(({ direction }) => direction === way)
    .map(({ data }) => data)
}
