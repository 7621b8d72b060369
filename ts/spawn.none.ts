// For hosts that have no workers, or another way to make them.

export function ways(): (() => unknown)[] {
  return [none];
}

function none(): never {
  throw new Error('this entry of the package is for hosts without workers');
}
