package server

import (
	"context"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

type regionService struct {
	controlv1.UnimplementedRegionServiceServer
	*core
}

// ListRegions implements controlv1.RegionServiceServer. The page token is a
// region id: there are few, and no other kind of id fits.
func (s regionService) ListRegions(ctx context.Context, req *controlv1.ListRegionsRequest) (*controlv1.ListRegionsResponse, error) {
	list, err := s.store.Regions()
	if err != nil {
		return nil, err
	}
	after := req.GetPageToken()
	if _, err := policy.ParseRegionID(after); after != "" && err != nil {
		return nil, fieldError("page_token", "must be the next_page_token of the page before")
	}
	_, limit, _ := page("", req.GetPageSize(), "")
	out := &controlv1.ListRegionsResponse{}
	for _, r := range list {
		if string(r.ID) <= after || !callOf(ctx).seesRegion(r.ID) {
			continue
		}
		if len(out.Regions) == limit {
			out.NextPageToken = out.Regions[limit-1].GetId()
			break
		}
		out.Regions = append(out.Regions, control.RegionOf(r.Region, r.ETag))
	}
	return out, nil
}

// GetRegion implements controlv1.RegionServiceServer.
func (s regionService) GetRegion(ctx context.Context, req *controlv1.GetRegionRequest) (*controlv1.Region, error) {
	r, err := s.region(ctx, req.GetRegion())
	if err != nil {
		return nil, err
	}
	return control.RegionOf(r.Region, r.ETag), tagged(ctx, r.ETag)
}

// PutRegion implements controlv1.RegionServiceServer.
func (s regionService) PutRegion(ctx context.Context, req *controlv1.PutRegionRequest) (*controlv1.Region, error) {
	id := policy.RegionID(req.GetRegion())
	var added bool
	res, err := s.write(ctx, req, func() (store.Payload, error) {
		if !callOf(ctx).seesRegion(id) {
			return nil, notFound("region")
		}
		region, err := control.RegionFrom(id, req.GetSpec())
		if err != nil {
			return nil, err
		}
		_, err = s.store.Region(id)
		added = isReason(err, policy.NotFound)
		if err != nil && !added {
			return nil, err
		}
		tag, err := optionalIfMatch(ctx)
		return store.PutRegion{Region: region, IfMatch: tag}, err
	})
	if err != nil {
		return nil, err
	}
	var r store.Region
	if err := res.Decode(&r); err != nil {
		return nil, err
	}
	if added {
		if err := created(ctx); err != nil {
			return nil, err
		}
	}
	return control.RegionOf(r.Region, r.ETag), tagged(ctx, r.ETag)
}

// ListFeatures implements controlv1.RegionServiceServer.
func (s regionService) ListFeatures(ctx context.Context, req *controlv1.ListFeaturesRequest) (*controlv1.ListFeaturesResponse, error) {
	r, err := s.region(ctx, req.GetRegion())
	if err != nil {
		return nil, err
	}
	list, err := s.store.Features(r.ID)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListFeaturesResponse{}
	for _, f := range list {
		out.Features = append(out.Features, featureOf(f))
	}
	out.Features, out.NextPageToken, err = cut(out.Features, (*controlv1.Feature).GetName, req)
	return out, err
}

// ListEntities implements controlv1.RegionServiceServer.
func (s regionService) ListEntities(_ context.Context, req *controlv1.ListEntitiesRequest) (*controlv1.ListEntitiesResponse, error) {
	list, err := s.store.Entities()
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListEntitiesResponse{}
	for _, e := range list {
		out.Entities = append(out.Entities, entityOf(e))
	}
	out.Entities, out.NextPageToken, err = cut(out.Entities, (*controlv1.Entity).GetBillingCountry, req)
	return out, err
}

// ListBases implements controlv1.RegionServiceServer.
func (s regionService) ListBases(_ context.Context, req *controlv1.ListBasesRequest) (*controlv1.ListBasesResponse, error) {
	list, err := s.store.Bases()
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListBasesResponse{}
	for _, b := range list {
		out.Bases = append(out.Bases, basisOf(b))
	}
	out.Bases, out.NextPageToken, err = cut(out.Bases, (*controlv1.Basis).GetId, req)
	return out, err
}

// GetBasis implements controlv1.RegionServiceServer.
func (s regionService) GetBasis(ctx context.Context, req *controlv1.GetBasisRequest) (*controlv1.Basis, error) {
	b, err := s.store.Basis(req.GetBasis())
	if isReason(err, policy.NotFound) {
		return nil, notFound("basis")
	}
	if err != nil {
		return nil, err
	}
	return basisOf(b), tagged(ctx, b.ETag)
}
