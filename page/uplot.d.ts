// The server gives the library of charts from its own package under this name.
export { default } from 'uplot';
