// What this browser is and has.

/** Why there are no threads here; nothing where there are. */
export function whyNoThreads(): string | undefined {
  if (typeof SharedArrayBuffer === 'undefined' && crossOriginIsolated)
    return 'this browser shares no memory between threads.';
  if (crossOriginIsolated) return undefined;
  return 'the server of this page does not send the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp, without which browsers share no memory between threads.';
}

export interface Device {
  readonly browser: string;
  readonly platform: string;
  readonly cores: number;
  /** In GiB, as far as the browser tells. */
  readonly memory?: number;
  readonly isolated: boolean;
  /** Milliseconds. */
  readonly clockStep: number;
}

interface ClientHints {
  readonly brands: { readonly brand: string; readonly version: string }[];
  getHighEntropyValues(names: string[]): Promise<Record<string, string>>;
}

export async function device(clockStep: number): Promise<Device> {
  const { userAgentData, deviceMemory } = navigator as Navigator & {
    userAgentData?: ClientHints;
    deviceMemory?: number;
  };
  const hints = await userAgentData?.getHighEntropyValues([
    'platform',
    'platformVersion',
    'architecture',
    'bitness',
    'model',
  ]);
  const { platform, platformVersion, architecture, bitness, model } = hints ?? {};
  const told = [platform, platformVersion, architecture, bitness && `${bitness} bits`, model];
  return {
    browser: navigator.userAgent,
    platform: told.filter(Boolean).join(', ') || navigator.platform,
    cores: navigator.hardwareConcurrency,
    ...(deviceMemory && { memory: deviceMemory }),
    isolated: crossOriginIsolated,
    clockStep,
  };
}
