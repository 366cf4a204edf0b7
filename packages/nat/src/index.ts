/**
 * Network address translation: connection tracking, outbound NAT with exceptions, port mappings, and services.
 */
export {}
