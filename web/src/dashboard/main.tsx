import '../base.css';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Outlet, RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiError } from './api';
import { DevicesPage } from './Devices';
import { First, Frame, Nowhere } from './Frame';
import { jobsNarrowedOf } from './jobsFilter';
import { narrowedOf } from './LedgerFilter';

const root = createRootRoute({ component: Outlet, notFoundComponent: Nowhere });
const first = createRoute({ getParentRoute: () => root, path: '/', component: First });
const join = createRoute({ getParentRoute: () => root, path: '/join', component: lazyRouteComponent(() => import('./Door'), 'Door') });
const login = createRoute({ getParentRoute: () => root, path: '/device', component: lazyRouteComponent(() => import('./Login'), 'LoginPage') });
const signedIn = createRoute({ getParentRoute: () => root, path: '/signed-in', component: lazyRouteComponent(() => import('./SignedIn'), 'SignedInPage') });
const network = createRoute({ getParentRoute: () => root, path: '/n/$network', component: Frame });
const devices = createRoute({ getParentRoute: () => network, path: '/', component: DevicesPage });
const device = createRoute({ getParentRoute: () => network, path: '/devices/$device', component: DevicesPage });
const jobs = createRoute({ getParentRoute: () => network, path: '/jobs', validateSearch: jobsNarrowedOf, component: lazyRouteComponent(() => import('./Jobs'), 'JobsPage') });
const job = createRoute({ getParentRoute: () => network, path: '/jobs/$job', component: lazyRouteComponent(() => import('./Job'), 'JobPage') });
const ledger = createRoute({ getParentRoute: () => network, path: '/ledger', validateSearch: narrowedOf, component: lazyRouteComponent(() => import('./Ledger'), 'LedgerPage') });
const members = createRoute({ getParentRoute: () => network, path: '/members', component: lazyRouteComponent(() => import('./Members'), 'MembersPage') });
const settings = createRoute({ getParentRoute: () => network, path: '/settings', component: lazyRouteComponent(() => import('./Settings'), 'SettingsPage') });
const policy = createRoute({ getParentRoute: () => network, path: '/policy', component: lazyRouteComponent(() => import('./Policy'), 'PolicyPage') });
const audit = createRoute({ getParentRoute: () => network, path: '/audit', component: lazyRouteComponent(() => import('./Audit'), 'AuditPage') });
const review = createRoute({ getParentRoute: () => network, path: '/review', component: lazyRouteComponent(() => import('./Review'), 'ReviewPage') });

const router = createRouter({
  routeTree: root.addChildren([first, join, login, signedIn, network.addChildren([devices, device, jobs, job, ledger, members, settings, policy, audit, review])]),
  defaultPreload: 'intent',
  scrollRestoration: false,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (times, error) => (error instanceof ApiError ? error.status === 0 && times < 3 : times < 1),
      staleTime: 2000,
    },
  },
});

createRoot(document.getElementById('page')!).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);
